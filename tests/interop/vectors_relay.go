package main

import (
	"net/netip"
	"time"

	"go4.org/mem"
	"tailscale.com/disco"
	"tailscale.com/net/packet"
	"tailscale.com/types/key"
)

// addRelayVectors gives the disco messages of peer relays as package disco
// marshals them, and Geneve headers as package packet encodes them.
func addRelayVectors(f *vectorFile) error {
	discoOf := func(name string) key.DiscoPublic {
		raw := fixedPrivate(name)
		return key.DiscoPrivateFromRaw32(mem.B(raw[:])).Public()
	}
	server := discoOf("disco relay")
	clients := key.NewSortedPairOfDiscoPublic(discoOf("disco one"), discoOf("disco two")).Get()
	rawOf := func(k key.DiscoPublic) string { return hexOf(k.AppendTo(nil)) }
	pair := []string{rawOf(clients[0]), rawOf(clients[1])}
	var challenge [disco.BindUDPRelayChallengeLen]byte
	c := fixed("relay challenge")
	copy(challenge[:], c[:])

	bind := disco.BindUDPRelayEndpointCommon{VNI: 0x123456, Generation: 0xfedcba98, RemoteKey: clients[1]}
	challenged := bind
	challenged.Challenge = challenge
	bindFields := func(b disco.BindUDPRelayEndpointCommon) map[string]any {
		return map[string]any{"vni": b.VNI, "generation": b.Generation, "remote": rawOf(b.RemoteKey), "challenge": hexOf(b.Challenge[:])}
	}
	endpoint := disco.UDPRelayEndpoint{
		ServerDisco: server, ClientDisco: clients, LamportID: 1<<63 + 7, VNI: 1<<24 - 1,
		BindLifetime: 30 * time.Second, SteadyStateLifetime: 5 * time.Minute,
		AddrPorts: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:7777"), netip.MustParseAddrPort("[2001:db8::7]:7778")},
	}
	session := map[string]any{
		"server": rawOf(server), "clients": pair, "lamportId": "9223372036854775815", "vni": endpoint.VNI,
		"bindLifetimeMs": 30_000, "steadyLifetimeMs": 300_000, "addrs": []string{"192.0.2.7:7777", "[2001:db8::7]:7778"},
	}
	for _, v := range []struct {
		kind   string
		m      disco.Message
		fields map[string]any
	}{
		{"bind", &disco.BindUDPRelayEndpoint{BindUDPRelayEndpointCommon: bind}, bindFields(bind)},
		{"bind-challenge", &disco.BindUDPRelayEndpointChallenge{BindUDPRelayEndpointCommon: challenged}, bindFields(challenged)},
		{"bind-answer", &disco.BindUDPRelayEndpointAnswer{BindUDPRelayEndpointCommon: challenged}, bindFields(challenged)},
		{"call-me-maybe-via", &disco.CallMeMaybeVia{UDPRelayEndpoint: endpoint}, map[string]any{"session": session}},
		{"allocate-request", &disco.AllocateUDPRelayEndpointRequest{ClientDisco: clients, Generation: 99},
			map[string]any{"clients": pair, "generation": 99}},
		{"allocate-response", &disco.AllocateUDPRelayEndpointResponse{Generation: 99, UDPRelayEndpoint: endpoint},
			map[string]any{"generation": 99, "session": session}},
	} {
		f.add("relay", map[string]any{"type": v.kind, "fields": v.fields, "payload": hexOf(v.m.AppendMarshal(nil))})
	}
	for _, h := range []packet.GeneveHeader{
		{Protocol: packet.GeneveProtocolDisco, Control: true},
		{Protocol: packet.GeneveProtocolDisco},
		{Protocol: packet.GeneveProtocolWireGuard},
	} {
		for _, vni := range []uint32{1, 0x123456, 1<<24 - 1} {
			h.VNI.Set(vni)
			b := make([]byte, packet.GeneveFixedHeaderLength)
			if err := h.Encode(b); err != nil {
				return err
			}
			f.add("geneve", map[string]any{"protocol": h.Protocol, "control": h.Control, "vni": vni, "wire": hexOf(b)})
		}
	}
	return nil
}
