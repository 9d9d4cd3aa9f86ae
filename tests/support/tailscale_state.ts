/**
 * A state file and preferences as Tailscale writes them, recorded from a Go program of ours that links tailscale.com
 * v1.102.5: `ipn.Prefs.ToBytes`, `json.Marshal(ipn.NewPrefs())`, and `store.NewFileStore` after four `WriteState`. The
 * keys are test patterns and RFC 8032's first test key.
 */

/** Preferences with every kind of field set. */
export const TAILSCALE_PREFS = `{
	"ControlURL": "https://hs.example.com",
	"RouteAll": true,
	"ExitNodeID": "",
	"ExitNodeIP": "100.64.0.9",
	"AutoExitNode": "any",
	"InternalExitNodePrior": "",
	"ExitNodeAllowLANAccess": false,
	"CorpDNS": false,
	"RunSSH": false,
	"RunWebClient": false,
	"WantRunning": true,
	"LoggedOut": false,
	"ShieldsUp": false,
	"AdvertiseTags": [
		"tag:a",
		"tag:b"
	],
	"Hostname": "h",
	"NotepadURLs": false,
	"ForceDaemon": true,
	"AdvertiseRoutes": [
		"10.0.0.0/8",
		"2001:db8::/32"
	],
	"AdvertiseServices": null,
	"Sync": true,
	"NoSNAT": true,
	"NoStatefulFiltering": false,
	"NetfilterMode": 1,
	"OperatorUser": "alice",
	"ProfileName": "work",
	"AutoUpdate": {
		"Check": true,
		"Apply": false
	},
	"AppConnector": {
		"Advertise": true
	},
	"PostureChecking": false,
	"NetfilterKind": "",
	"RemoteConfig": false,
	"DriveShares": null,
	"RelayServerPort": 40000,
	"RelayServerStaticEndpoints": [
		"192.0.2.1:1",
		"[2001:db8::1]:2"
	],
	"Config": {
		"PrivateNodeKey": "privkey:1011111111111111111111111111111111111111111111111111111111111151",
		"OldPrivateNodeKey": "privkey:2022222222222222222222222222222222222222222222222222222222222262",
		"UserProfile": {
			"ID": 7,
			"LoginName": "alice@example.com",
			"DisplayName": "Alice"
		},
		"NetworkLockKey": "nlpriv:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"NodeID": "nABC",
		"DisallowedTKAStateIDs": [
			"1:2"
		]
	}
}`;

/** Preferences of a new profile. */
export const TAILSCALE_NEW_PREFS =
  `{"ControlURL":"","RouteAll":false,"ExitNodeID":"","ExitNodeIP":"","InternalExitNodePrior":"","ExitNodeAllowLANAccess":false,"CorpDNS":true,"RunSSH":false,"RunWebClient":false,"WantRunning":false,"LoggedOut":false,"ShieldsUp":false,"AdvertiseTags":null,"Hostname":"","NotepadURLs":false,"AdvertiseRoutes":null,"AdvertiseServices":null,"Sync":null,"NoSNAT":false,"NoStatefulFiltering":true,"NetfilterMode":2,"AutoUpdate":{"Check":true,"Apply":null},"AppConnector":{"Advertise":false},"PostureChecking":false,"NetfilterKind":"","RemoteConfig":false,"DriveShares":null,"Config":null}`;

/** A state file with one profile, `a1b2`, that has the preferences above. */
export const TAILSCALE_STATE = `{
  "_current-profile": "cHJvZmlsZS1hMWIy",
  "_machinekey": "cHJpdmtleTozMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzcz",
  "_profiles": "eyJhMWIyIjp7IklEIjoiYTFiMiIsIk5hbWUiOiJ3b3JrIiwiTmV0d29ya1Byb2ZpbGUiOnsiTWFnaWNETlNOYW1lIjoidGFpbC50ZXN0IiwiRG9tYWluTmFtZSI6ImV4YW1wbGUuY29tIiwiRGlzcGxheU5hbWUiOiIifSwiS2V5IjoicHJvZmlsZS1hMWIyIiwiVXNlclByb2ZpbGUiOnsiSUQiOjcsIkxvZ2luTmFtZSI6ImFsaWNlQGV4YW1wbGUuY29tIiwiRGlzcGxheU5hbWUiOiJBbGljZSJ9LCJOb2RlSUQiOiJuQUJDIiwiTG9jYWxVc2VySUQiOiIiLCJDb250cm9sVVJMIjoiaHR0cHM6Ly9ocy5leGFtcGxlLmNvbSIsIkNyZWF0ZWQiOiIyMDAxLTA5LTA5VDAxOjQ2OjQwWiJ9fQ==",
  "profile-a1b2": "ewoJIkNvbnRyb2xVUkwiOiAiaHR0cHM6Ly9ocy5leGFtcGxlLmNvbSIsCgkiUm91dGVBbGwiOiB0cnVlLAoJIkV4aXROb2RlSUQiOiAiIiwKCSJFeGl0Tm9kZUlQIjogIjEwMC42NC4wLjkiLAoJIkF1dG9FeGl0Tm9kZSI6ICJhbnkiLAoJIkludGVybmFsRXhpdE5vZGVQcmlvciI6ICIiLAoJIkV4aXROb2RlQWxsb3dMQU5BY2Nlc3MiOiBmYWxzZSwKCSJDb3JwRE5TIjogZmFsc2UsCgkiUnVuU1NIIjogZmFsc2UsCgkiUnVuV2ViQ2xpZW50IjogZmFsc2UsCgkiV2FudFJ1bm5pbmciOiB0cnVlLAoJIkxvZ2dlZE91dCI6IGZhbHNlLAoJIlNoaWVsZHNVcCI6IGZhbHNlLAoJIkFkdmVydGlzZVRhZ3MiOiBbCgkJInRhZzphIiwKCQkidGFnOmIiCgldLAoJIkhvc3RuYW1lIjogImgiLAoJIk5vdGVwYWRVUkxzIjogZmFsc2UsCgkiRm9yY2VEYWVtb24iOiB0cnVlLAoJIkFkdmVydGlzZVJvdXRlcyI6IFsKCQkiMTAuMC4wLjAvOCIsCgkJIjIwMDE6ZGI4OjovMzIiCgldLAoJIkFkdmVydGlzZVNlcnZpY2VzIjogbnVsbCwKCSJTeW5jIjogdHJ1ZSwKCSJOb1NOQVQiOiB0cnVlLAoJIk5vU3RhdGVmdWxGaWx0ZXJpbmciOiBmYWxzZSwKCSJOZXRmaWx0ZXJNb2RlIjogMSwKCSJPcGVyYXRvclVzZXIiOiAiYWxpY2UiLAoJIlByb2ZpbGVOYW1lIjogIndvcmsiLAoJIkF1dG9VcGRhdGUiOiB7CgkJIkNoZWNrIjogdHJ1ZSwKCQkiQXBwbHkiOiBmYWxzZQoJfSwKCSJBcHBDb25uZWN0b3IiOiB7CgkJIkFkdmVydGlzZSI6IHRydWUKCX0sCgkiUG9zdHVyZUNoZWNraW5nIjogZmFsc2UsCgkiTmV0ZmlsdGVyS2luZCI6ICIiLAoJIlJlbW90ZUNvbmZpZyI6IGZhbHNlLAoJIkRyaXZlU2hhcmVzIjogbnVsbCwKCSJSZWxheVNlcnZlclBvcnQiOiA0MDAwMCwKCSJSZWxheVNlcnZlclN0YXRpY0VuZHBvaW50cyI6IFsKCQkiMTkyLjAuMi4xOjEiLAoJCSJbMjAwMTpkYjg6OjFdOjIiCgldLAoJIkNvbmZpZyI6IHsKCQkiUHJpdmF0ZU5vZGVLZXkiOiAicHJpdmtleToxMDExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTUxIiwKCQkiT2xkUHJpdmF0ZU5vZGVLZXkiOiAicHJpdmtleToyMDIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjYyIiwKCQkiVXNlclByb2ZpbGUiOiB7CgkJCSJJRCI6IDcsCgkJCSJMb2dpbk5hbWUiOiAiYWxpY2VAZXhhbXBsZS5jb20iLAoJCQkiRGlzcGxheU5hbWUiOiAiQWxpY2UiCgkJfSwKCQkiTmV0d29ya0xvY2tLZXkiOiAibmxwcml2OjlkNjFiMTlkZWZmZDVhNjBiYTg0NGFmNDkyZWMyY2M0NDQ0OWM1Njk3YjMyNjkxOTcwM2JhYzAzMWNhZTdmNjBkNzVhOTgwMTgyYjEwYWI3ZDU0YmZlZDNjOTY0MDczYTBlZTE3MmYzZGFhNjIzMjVhZjAyMWE2OGY3MDc1MTFhIiwKCQkiTm9kZUlEIjogIm5BQkMiLAoJCSJEaXNhbGxvd2VkVEtBU3RhdGVJRHMiOiBbCgkJCSIxOjIiCgkJXQoJfQp9"
}`;
