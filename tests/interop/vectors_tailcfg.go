package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"go4.org/mem"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/types/dnstype"
	"tailscale.com/types/key"
	"tailscale.com/types/opt"
	"tailscale.com/types/persist"
	"tailscale.com/util/zstdframe"
)

var (
	epoch   = time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC)
	nodeOne = nodePublic("node one")
	nodeTwo = nodePublic("node two")
)

func nodePublic(name string) key.NodePublic {
	raw := fixedPrivate(name)
	return key.NodePrivateFromRaw32(mem.B(raw[:])).Public()
}

func discoPublic(name string) key.DiscoPublic {
	raw := fixedPrivate(name)
	return key.DiscoPrivateFromRaw32(mem.B(raw[:])).Public()
}

func machinePublic(name string) key.MachinePublic {
	raw := fixedPrivate(name)
	var k key.MachinePrivate
	if err := k.UnmarshalText([]byte("privkey:" + hexOf(raw[:]))); err != nil {
		panic(err)
	}
	return k.Public()
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func addrPorts(s ...string) (out []netip.AddrPort) {
	for _, p := range s {
		out = append(out, netip.MustParseAddrPort(p))
	}
	return out
}

func sampleHostinfo() *tailcfg.Hostinfo {
	return &tailcfg.Hostinfo{
		IPNVersion: "1.102.5", BackendLogID: "0123456789abcdef", OS: "linux", OSVersion: "6.12.0", Container: opt.NewBool(false),
		Distro: "debian", DistroVersion: "13", DistroCodeName: "trixie", Desktop: opt.NewBool(false), Hostname: "one",
		NoLogsNoSupport: true, Machine: "x86_64", GoArch: "amd64", GoVersion: "go1.26.6",
		RoutableIPs: prefixes("10.0.0.0/8", "2001:db8::/32"), RequestTags: []string{"tag:server"},
		Services: []tailcfg.Service{{Proto: tailcfg.PeerAPI4, Port: 1234}, {Proto: tailcfg.PeerAPI6, Port: 1234}},
		NetInfo: &tailcfg.NetInfo{
			MappingVariesByDestIP: opt.NewBool(true), WorkingIPv6: opt.NewBool(true), OSHasIPv6: opt.NewBool(true), WorkingUDP: opt.NewBool(true),
			PreferredDERP: 1, LinkType: "wired", DERPLatency: map[string]float64{"1-v4": 0.0125, "1-v6": 0.013}, FirewallMode: "nft-default",
		},
		Userspace: opt.NewBool(false), UserspaceRouter: opt.NewBool(false),
	}
}

func sampleNode() *tailcfg.Node {
	online, seen := true, epoch
	masq := netip.MustParseAddr("100.100.1.1")
	return &tailcfg.Node{
		ID: 7, StableID: "n7CNTRL", Name: "one.lab.ts.net.", User: 3, Sharer: 4, Key: nodeOne, KeyExpiry: epoch.Add(90 * 24 * time.Hour),
		KeySignature: []byte{1, 2, 0xfe, 0xff}, Machine: machinePublic("machine one"), DiscoKey: discoPublic("disco one"),
		Addresses: prefixes("100.64.0.7/32", "fd7a:115c:a1e0::7/128"), AllowedIPs: prefixes("100.64.0.7/32", "fd7a:115c:a1e0::7/128", "10.0.0.0/8"),
		Endpoints: addrPorts("192.0.2.7:41641", "[2001:db8::7]:41641"), LegacyDERPString: "127.3.3.40:1", HomeDERP: 1,
		Hostinfo: sampleHostinfo().View(), Created: epoch, Cap: 142, Tags: []string{"tag:server"}, PrimaryRoutes: prefixes("10.0.0.0/8"),
		LastSeen: &seen, Online: &online, MachineAuthorized: true,
		Capabilities: []tailcfg.NodeCapability{"https"}, CapMap: tailcfg.NodeCapMap{
			"https": nil, "funnel-ports": {`"443"`}, "https://tailscale.com/cap/tailnet-lock": {},
		},
		UnsignedPeerAPIOnly: true, SelfNodeV4MasqAddrForThisPeer: &masq, IsWireGuardOnly: true, IsJailed: true,
		ExitNodeDNSResolvers: []*dnstype.Resolver{{Addr: "https://dns.example/dns-query", BootstrapResolution: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}},
	}
}

func sampleDERPMap() *tailcfg.DERPMap {
	return &tailcfg.DERPMap{
		OmitDefaultRegions: true,
		HomeParams:         &tailcfg.DERPHomeParams{RegionScore: map[int]float64{1: 0.5, 2: 0}},
		Regions: map[int]*tailcfg.DERPRegion{
			1: {RegionID: 1, RegionCode: "lab", RegionName: "Laboratory", Latitude: 46.2, Longitude: 6.1, Nodes: []*tailcfg.DERPNode{
				{Name: "1a", RegionID: 1, HostName: "derp1.example", IPv4: "192.0.2.1", IPv6: "2001:db8::1", CanPort80: true},
				{Name: "1b", RegionID: 1, HostName: "192.0.2.2", IPv4: "192.0.2.2", IPv6: "none", STUNPort: -1, DERPPort: 8443, CertName: "sha256-raw:" + hexOf(make([]byte, 32))},
				{Name: "1c", RegionID: 1, HostName: "stun.example", STUNOnly: true, STUNPort: 3479, STUNTestIP: "127.0.0.1", InsecureForTests: true},
			}},
			900: {RegionID: 900, RegionCode: "far", RegionName: "Far away", Avoid: true, NoMeasureNoHome: true},
		},
	}
}

func sampleFilterRules() []tailcfg.FilterRule {
	return []tailcfg.FilterRule{
		{SrcIPs: []string{"*"}, DstPorts: []tailcfg.NetPortRange{{IP: "*", Ports: tailcfg.PortRangeAny}}},
		{SrcIPs: []string{"100.64.0.1", "10.0.0.0/8", "2001:db8::1-2001:db8::9", "cap:lab.test/cap"}, IPProto: []int{6, 17},
			DstPorts: []tailcfg.NetPortRange{{IP: "100.64.0.7/32", Ports: tailcfg.PortRange{First: 22, Last: 80}}}},
		{SrcIPs: []string{"*"}, CapGrant: []tailcfg.CapGrant{{Dsts: prefixes("100.64.0.7/32"), CapMap: tailcfg.PeerCapMap{"lab.test/app": {`{"role":"admin"}`}}}}},
	}
}

// tailcfgVectors gives what Go writes for values we choose, and what it reads from odd texts.
func tailcfgVectors() (*vectorFile, error) {
	f := &vectorFile{
		name:  "tailscale_tailcfg.json",
		about: "tailcfg values as Go marshals them, framed map responses, and how Go reads absent, null and empty lists",
	}
	add := func(name string, v any) {
		f.add("values", map[string]any{"name": name, "type": fmt.Sprintf("%T", v), "json": v})
	}
	online, seen, expiry := true, epoch, epoch.Add(time.Hour)
	two, dk := nodeTwo, discoPublic("disco two")
	add("Hostinfo", sampleHostinfo())
	add("Node", sampleNode())
	add("smallest Node", &tailcfg.Node{ID: 8, StableID: "n8", Key: nodeTwo})
	add("DERPMap", sampleDERPMap())
	add("FilterRules", sampleFilterRules())
	add("PeerChange", &tailcfg.PeerChange{
		NodeID: 8, DERPRegion: 2, Cap: 142, CapMap: tailcfg.NodeCapMap{"https": nil}, Endpoints: addrPorts("192.0.2.8:1"), Key: &two,
		KeySignature: []byte{9}, DiscoKey: &dk, Online: &online, LastSeen: &seen, KeyExpiry: &expiry,
	})
	add("RegisterRequest", &tailcfg.RegisterRequest{
		Version: 142, NodeKey: nodeOne, OldNodeKey: nodeTwo, Auth: &tailcfg.RegisterResponseAuth{AuthKey: "tskey-auth-x"}, Expiry: epoch,
		Followup: "https://login.example/a/1", Hostinfo: sampleHostinfo(), Ephemeral: true, NodeKeySignature: []byte{1, 2, 3}, Tailnet: "lab",
	})
	add("first RegisterRequest", &tailcfg.RegisterRequest{Version: 142, NodeKey: nodeOne, Hostinfo: &tailcfg.Hostinfo{OS: "linux", Hostname: "one"}})
	add("RegisterResponse", &tailcfg.RegisterResponse{
		User: tailcfg.User{ID: 3, DisplayName: "Alice", Created: epoch}, Login: tailcfg.Login{ID: 4, Provider: "lab", LoginName: "alice@lab.test", DisplayName: "Alice"},
		MachineAuthorized: true, NodeKeySignature: []byte{1},
	})
	add("RegisterResponse with URL", &tailcfg.RegisterResponse{AuthURL: "https://login.example/a/1"})
	add("RegisterResponse with error", &tailcfg.RegisterResponse{Error: "invalid key", NodeKeyExpired: true})
	add("MapRequest", &tailcfg.MapRequest{
		Version: 142, Compress: "zstd", KeepAlive: true, NodeKey: nodeOne, DiscoKey: discoPublic("disco one"), Stream: true, Hostinfo: sampleHostinfo(),
		Endpoints: addrPorts("192.0.2.7:41641", "[2001:db8::7]:41641"), EndpointTypes: []tailcfg.EndpointType{tailcfg.EndpointSTUN, tailcfg.EndpointLocal},
		TKAHead: "ABCDEF", OmitPeers: true, DebugFlags: []string{"x"},
	})
	responses := []struct {
		name string
		mr   *tailcfg.MapResponse
	}{
		{"first", &tailcfg.MapResponse{
			MapSessionHandle: "handle", Seq: 1, Node: sampleNode(), DERPMap: sampleDERPMap(), Peers: []*tailcfg.Node{{ID: 8, StableID: "n8", Name: "two.lab.ts.net.", User: 3, Key: nodeTwo, Addresses: prefixes("100.64.0.8/32"), AllowedIPs: prefixes("100.64.0.8/32"), HomeDERP: 1, MachineAuthorized: true}},
			DNSConfig: &tailcfg.DNSConfig{
				Resolvers: []*dnstype.Resolver{{Addr: "192.0.2.53"}}, Routes: map[string][]*dnstype.Resolver{"lab.ts.net.": nil, "corp.example.": {{Addr: "10.0.0.53"}}},
				Domains: []string{"lab.ts.net"}, Proxied: true, CertDomains: []string{"one.lab.ts.net"}, ExtraRecords: []tailcfg.DNSRecord{{Name: "x.lab.ts.net", Value: "100.64.0.9"}},
			},
			Domain: "lab.test", CollectServices: opt.NewBool(true), PacketFilter: sampleFilterRules(),
			UserProfiles: []tailcfg.UserProfile{{ID: 3, LoginName: "alice@lab.test", DisplayName: "Alice"}}, Health: []string{"a message"}, ControlTime: &seen,
			TKAInfo: &tailcfg.TKAInfo{Head: "ABCDEF"}, SSHPolicy: &tailcfg.SSHPolicy{Rules: []*tailcfg.SSHRule{{Principals: []*tailcfg.SSHPrincipal{{Any: true}}, SSHUsers: map[string]string{"*": "="}, Action: &tailcfg.SSHAction{Accept: true}}}},
		}},
		{"keep alive", &tailcfg.MapResponse{KeepAlive: true}},
		{"ping", &tailcfg.MapResponse{KeepAlive: true, PingRequest: &tailcfg.PingRequest{URL: "https://control.example/ping/1", Log: true}}},
		{"c2n", &tailcfg.MapResponse{PingRequest: &tailcfg.PingRequest{URL: "https://unused/c2n/1", URLIsNoise: true, Types: "c2n", Payload: []byte("GET /echo HTTP/1.1\r\nHost: c2n\r\n\r\n")}}},
		{"disco ping", &tailcfg.MapResponse{PingRequest: &tailcfg.PingRequest{URL: "https://control.example/ping/2", Types: "disco,TSMP", IP: netip.MustParseAddr("100.64.0.8")}}},
		{"peers changed", &tailcfg.MapResponse{PeersChanged: []*tailcfg.Node{{ID: 9, StableID: "n9", Key: nodeTwo}}, PeersRemoved: []tailcfg.NodeID{8, 10}}},
		{"peers patched", &tailcfg.MapResponse{
			PeersChangedPatch: []*tailcfg.PeerChange{{NodeID: 8, Online: &online}, {NodeID: 9, DERPRegion: 2, Endpoints: addrPorts("192.0.2.9:9")}},
			PeerSeenChange:    map[tailcfg.NodeID]bool{8: true, 9: false}, OnlineChange: map[tailcfg.NodeID]bool{8: false},
		}},
		{"named filters", &tailcfg.MapResponse{PacketFilters: map[string][]tailcfg.FilterRule{"*": nil, "base": sampleFilterRules()[:1], "x": nil}}},
		{"display messages", &tailcfg.MapResponse{DisplayMessages: map[tailcfg.DisplayMessageID]*tailcfg.DisplayMessage{
			"*": nil, "note": {Title: "Title", Text: "Text", Severity: tailcfg.SeverityHigh, ImpactsConnectivity: true, PrimaryAction: &tailcfg.DisplayMessageAction{URL: "https://a.example", Label: "Go"}},
		}}},
		{"lock disabled", &tailcfg.MapResponse{TKAInfo: &tailcfg.TKAInfo{Disabled: true}}},
		{"debug", &tailcfg.MapResponse{Debug: &tailcfg.Debug{SleepSeconds: 1.5, DisableLogTail: true}, PopBrowserURL: "https://pop.example"}},
		{"dial plan", &tailcfg.MapResponse{ControlDialPlan: &tailcfg.ControlDialPlan{Candidates: []tailcfg.ControlIPCandidate{{IP: netip.MustParseAddr("192.0.2.10"), DialStartDelaySec: 0.25, DialTimeoutSec: 5, Priority: 2}}}}},
		{"client version", &tailcfg.MapResponse{ClientVersion: &tailcfg.ClientVersion{LatestVersion: "1.104.0", UrgentSecurityUpdate: true, Notify: true, NotifyURL: "https://v.example", NotifyText: "New"}}},
	}
	for _, r := range responses {
		add("MapResponse "+r.name, r.mr)
		j, err := json.Marshal(r.mr)
		if err != nil {
			return nil, err
		}
		body := zstdframe.AppendEncode(nil, j, zstdframe.FastestCompression)
		f.add("frames", map[string]any{
			"name": r.name, "json": string(j), "wire": hexOf(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + hexOf(body),
		})
	}

	for _, field := range []string{"Peers", "PeersChanged", "PeersRemoved", "PacketFilter", "PacketFilters", "Health", "UserProfiles", "OnlineChange", "DisplayMessages"} {
		empty := "[]"
		if field == "PacketFilters" || field == "OnlineChange" || field == "DisplayMessages" {
			empty = "{}"
		}
		for _, raw := range []string{"{}", fmt.Sprintf(`{%q:null}`, field), fmt.Sprintf(`{%q:%s}`, field, empty)} {
			var mr tailcfg.MapResponse
			if err := json.Unmarshal([]byte(raw), &mr); err != nil {
				return nil, err
			}
			v := reflect.ValueOf(mr).FieldByName(field)
			f.add("presence", map[string]any{"json": raw, "field": field, "nil": v.IsNil()})
		}
	}
	for _, raw := range []string{`{}`, `{"AllowedIPs":null}`, `{"AllowedIPs":[]}`} {
		var n tailcfg.Node
		if err := json.Unmarshal([]byte(raw), &n); err != nil {
			return nil, err
		}
		f.add("presence", map[string]any{"json": raw, "type": "Node", "field": "AllowedIPs", "nil": n.AllowedIPs == nil})
	}
	for _, raw := range []string{
		`{"keepalive":true}`, `{"KeepAlive":"true"}`, `{"Seq":1.0}`, `{"Seq":1.5}`, `{"Node":{"Key":"nodekey:00"}}`, `{"Node":{"Key":""}}`,
		`{"Node":{"Addresses":["100.64.0.1"]}}`, `{"Node":{"Addresses":["100.64.0.1/33"]}}`, `{"Node":{"KeyExpiry":"yesterday"}}`, `{"Node":{"Endpoints":["1.2.3.4"]}}`,
		`{"Unknown":{"x":[1]}}`, `{"OnlineChange":{"x":true}}`, `{"OnlineChange":{"12":true}}`, `{"PacketFilter":[{"SrcIPs":["nonsense"]}]}`, `[]`, `null`, `{"Node":{"Online":null}}`,
		`{"DERPMap":{"Regions":{"1":null}}}`, `{"ControlTime":"2026-01-02T03:04:05.6789Z"}`, `{"Node":{"KeySignature":"AQL+/w=="}}`, `{"Node":{"KeySignature":"AQL-_w"}}`,
	} {
		var mr tailcfg.MapResponse
		err := json.Unmarshal([]byte(raw), &mr)
		v := map[string]any{"json": raw, "accepted": err == nil}
		if err == nil {
			v["again"] = &mr
		}
		f.add("odd", v)
	}
	return f, nil
}

// localVectors gives prefs, the state file's value of a profile, and status.
func localVectors() (*vectorFile, error) {
	f := &vectorFile{name: "tailscale_local.json", about: "ipn and ipnstate values as Go marshals them: prefs, masked prefs, options, status, ping"}
	add := func(name string, v any) {
		f.add("values", map[string]any{"name": name, "type": fmt.Sprintf("%T", v), "json": v})
	}
	add("new Prefs", ipn.NewPrefs())
	p := ipn.NewPrefs()
	p.ControlURL, p.RouteAll, p.ExitNodeID, p.ExitNodeAllowLANAccess = "https://control.example", true, "n9", true
	p.WantRunning, p.AdvertiseTags, p.Hostname = true, []string{"tag:server"}, "one"
	p.AdvertiseRoutes, p.OperatorUser, p.ProfileName = prefixes("10.0.0.0/8"), "alice", "lab"
	raw := fixedPrivate("node one")
	p.Persist = &persist.Persist{
		PrivateNodeKey: key.NodePrivateFromRaw32(mem.B(raw[:])), UserProfile: tailcfg.UserProfile{ID: 3, LoginName: "alice@lab.test", DisplayName: "Alice"},
		NodeID: "n7CNTRL", DisallowedTKAStateIDs: []string{"1-2"},
	}
	add("Prefs", p)
	f.add("stateFile", map[string]any{"name": "value of a profile key", "bytes": hexOf(p.ToBytes()), "text": string(p.ToBytes())})
	add("MaskedPrefs", &ipn.MaskedPrefs{
		Prefs: ipn.Prefs{Hostname: "two", WantRunning: true}, HostnameSet: true, WantRunningSet: true, AutoUpdateSet: ipn.AutoUpdatePrefsMask{CheckSet: true},
	})
	add("Options", &ipn.Options{AuthKey: "tskey-auth-x", UpdatePrefs: ipn.NewPrefs()})
	add("LoginProfile", &ipn.LoginProfile{ID: "ab12", Name: "alice@lab.test", NetworkProfile: ipn.NetworkProfile{MagicDNSName: "lab.ts.net", DomainName: "lab.test"}, Key: "profile-ab12", UserProfile: tailcfg.UserProfile{ID: 3}, NodeID: "n7CNTRL", ControlURL: "https://control.example"})
	add("Status", &ipnstate.Status{
		Version: "1.102.5", TUN: true, BackendState: "Running", HaveNodeKey: true, TailscaleIPs: []netip.Addr{netip.MustParseAddr("100.64.0.7")}, MagicDNSSuffix: "lab.ts.net",
		CurrentTailnet: &ipnstate.TailnetStatus{Name: "lab.test", MagicDNSSuffix: "lab.ts.net", MagicDNSEnabled: true},
		Self:           &ipnstate.PeerStatus{ID: "n7CNTRL", NodeID: 7, PublicKey: nodeOne, HostName: "one", DNSName: "one.lab.ts.net.", OS: "linux", UserID: 3, Online: true, InNetworkMap: true, InMagicSock: true, InEngine: true},
		Peer: map[key.NodePublic]*ipnstate.PeerStatus{nodeTwo: {
			ID: "n8", NodeID: 8, PublicKey: nodeTwo, HostName: "two", DNSName: "two.lab.ts.net.", OS: "linux", UserID: 3, CurAddr: "192.0.2.8:41641", Relay: "lab",
			RxBytes: 1, TxBytes: 2, Created: epoch, LastHandshake: epoch, Online: true, Active: true,
		}},
		User: map[tailcfg.UserID]tailcfg.UserProfile{3: {ID: 3, LoginName: "alice@lab.test", DisplayName: "Alice"}},
	})
	add("PingResult", &ipnstate.PingResult{IP: "100.64.0.8", NodeIP: "100.64.0.8", NodeName: "two", LatencySeconds: 0.0125, Endpoint: "192.0.2.8:41641"})
	state, browse := ipn.NeedsLogin, "https://login.example/a/1"
	add("Notify", &ipn.Notify{Version: "1.102.5", State: &state, BrowseToURL: &browse})
	for s := ipn.NoState; s <= ipn.Running; s++ {
		f.add("states", map[string]any{"number": int(s), "text": s.String()})
	}
	return f, nil
}
