package main

import (
	"os"
	"path/filepath"

	"tailscale.com/ipn/conffile"
)

// configTexts are configuration files, whole or with one thing wrong.
var configTexts = []string{
	`{"version": "alpha0"}`,
	"// a comment\n{\"version\": \"alpha0\", \"Locked\": false, /* here */ \"Enabled\": false,}",
	`{"version": "alpha0", "ServerURL": "https://control.example.com", "AuthKey": "file:/key"}`,
	`{"version": "alpha0", "OperatorUser": "ann", "Hostname": "web1", "acceptDNS": false, "acceptRoutes": true}`,
	`{"Version": "alpha0", "hostname": "web1", "AcceptRoutes": true, "SHIELDSUP": true}`,
	`{"version": "alpha0", "Hostname": null, "ShieldsUp": null, "AdvertiseRoutes": null}`,
	`{"version": "alpha0", "exitNode": "100.64.0.9", "allowLANWhileUsingExitNode": true}`,
	`{"version": "alpha0", "exitNode": "nStableID"}`,
	`{"version": "alpha0", "AdvertiseRoutes": ["10.1.0.0/24", "fd00::/64"], "DisableSNAT": true}`,
	`{"version": "alpha0", "AdvertiseExitNode": true}`,
	`{"version": "alpha0", "AdvertiseRoutes": ["10.1.0.0/24"], "AdvertiseExitNode": true}`,
	`{"version": "alpha0", "AdvertiseRoutes": ["0.0.0.0/0", "::/0", "10.1.0.0/24"]}`,
	`{"version": "alpha0", "AdvertiseServices": ["svc:web"], "AppConnector": {"Advertise": true}}`,
	`{"version": "alpha0", "NetfilterMode": "nodivert", "NoStatefulFiltering": false}`,
	`{"version": "alpha0", "NetfilterMode": "off", "NoStatefulFiltering": true}`,
	`{"version": "alpha0", "PostureChecking": true, "RunSSHServer": true, "RunWebClient": true, "RemoteConfig": true}`,
	`{"version": "alpha0", "AutoUpdate": {"Check": true, "Apply": null}}`,
	`{"version": "alpha0", "AutoUpdate": {"check": false}}`,
	`{"version": "alpha0", "ServeConfigTemp": {"TCP": {"443": {"HTTPS": true}}}}`,
	`{"version": "alpha0", "StaticEndpoints": ["192.0.2.1:41641", "[2001:db8::1]:41641"]}`,
	`{"version": "alpha0", "RelayServerPort": 0, "RelayServerStaticEndpoints": ["192.0.2.1:7777"]}`,
	`{"version": "alpha0", "RelayServerPort": 40000}`,
	``,
	`{}`,
	`[]`,
	`{"version": "alpha1"}`,
	`{"version": "alpha0"} {}`,
	`{"version": "alpha0", "Hostnam": "web1"}`,
	`{"version": "alpha0", "Hostname": 5}`,
	`{"version": "alpha0", "ShieldsUp": "yes"}`,
	`{"version": "alpha0", "AdvertiseRoutes": ["10.1.0.5/24"]}`,
	`{"version": "alpha0", "AdvertiseRoutes": ["10.1.0.5"]}`,
	`{"version": "alpha0", "NetfilterMode": "maybe"}`,
	`{"version": "alpha0", "StaticEndpoints": ["192.0.2.1"]}`,
	`{"version": "alpha0", "RelayServerPort": 65536}`,
	`{"version": "alpha0", "RelayServerPort": -1}`,
	`{"version": "alpha0", "AutoUpdate": true}`,
	`{"version": "alpha0", "AppConnector": {"Advertize": true}}`,
	`{"version": "alpha0" "Hostname": "web1"}`,
}

// configVectors is what a Tailscale daemon makes of configuration files: the change of its preferences, or a refusal.
func configVectors() (*vectorFile, error) {
	f := &vectorFile{name: "tailscale_config.json", about: "configuration files and what ipn/conffile makes of them"}
	dir, err := os.MkdirTemp("", "config-vectors-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "agent.json")
	for _, text := range configTexts {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		c := map[string]any{"text": text, "edits": nil}
		if conf, err := conffile.Load(path); err == nil {
			if edits, err := conf.Parsed.ToPrefs(); err == nil {
				c["edits"] = edits
			}
		}
		f.add("files", c)
	}
	return f, nil
}
