package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"go4.org/netipx"
	"tailscale.com/net/packet"
	"tailscale.com/tailcfg"
	"tailscale.com/types/ipproto"
	"tailscale.com/wgengine/filter"
)

// filterVectors runs random packets through Tailscale's filter, under random
// rules, and writes down the verdicts. Addresses, ports and protocols come from
// small pools, so that rules and packets meet.
func filterVectors(seed uint32) (*vectorFile, error) {
	f := &vectorFile{
		name: "tailscale_filter.json",
		about: "Packet filter: `rules` are tailcfg.FilterRule, `expanded` is what upstream makes of them; `steps` are, in order, " +
			"[direction, packet, accepted] on one filter, so that flows that went out admit their answers. parsed is [IP version, protocol, " +
			"source, destination, TCP flags] as upstream reads the packet",
	}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for range 30 {
		rules := randomRules(r)
		matches, err := filter.MatchesFromFilterRules(rules)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", rules, err)
		}
		var local netipx.IPSetBuilder
		locals := []string{"100.64.0.1/32", "fd7a:115c:a1e0::1/128"}
		if r.IntN(2) == 0 {
			locals = append(locals, "10.1.0.0/16", "2001:db8:1::/48")
		}
		for _, l := range locals {
			local.AddPrefix(netip.MustParsePrefix(l))
		}
		if r.IntN(3) == 0 { // addresses the general rules are about must not be shielded by "not local"
			for _, l := range []string{"0.0.0.0/0", "::/0"} {
				local.AddPrefix(netip.MustParsePrefix(l))
				locals = append(locals, l)
			}
		}
		localSet, err := local.IPSet()
		if err != nil {
			return nil, err
		}
		flt := filter.New(matches, nil, localSet, new(netipx.IPSet), nil, func(string, ...any) {})
		var steps []any
		var sent [][]byte
		for range 60 {
			var b []byte
			in := r.IntN(3) > 0
			if in && len(sent) > 0 && r.IntN(3) == 0 {
				b = answerTo(sent[r.IntN(len(sent))])
			} else {
				b = randomPacket(r, in)
			}
			var p packet.Parsed
			p.Decode(b)
			accepted := false
			direction := "out"
			if in {
				direction = "in"
				accepted = flt.RunIn(&p, 0) == filter.Accept
			} else {
				verdict, _ := flt.RunOut(&p, 0)
				accepted = verdict == filter.Accept
				sent = append(sent, b)
			}
			steps = append(steps, []any{direction, hexOf(b), accepted, parsedFields(&p)})
		}
		f.add("cases", map[string]any{"rules": rules, "expanded": expanded(matches), "local": locals, "steps": steps})
	}
	return f, nil
}

func parsedFields(p *packet.Parsed) []any {
	return []any{p.IPVersion, uint8(p.IPProto), p.Src.String(), p.Dst.String(), uint8(p.TCPFlags)}
}

func expanded(matches []filter.Match) []any {
	var out []any
	for _, m := range matches {
		var dsts []any
		for _, d := range m.Dsts {
			dsts = append(dsts, map[string]any{"prefix": d.Net, "first": d.Ports.First, "last": d.Ports.Last})
		}
		var protos []int
		for _, p := range m.IPProto.All() {
			protos = append(protos, int(p))
		}
		out = append(out, map[string]any{"sources": nonNil(m.Srcs), "destinations": nonNil(dsts), "protocols": nonNil(protos)})
	}
	return out
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomRules(r *rand.Rand) []tailcfg.FilterRule {
	var rules []tailcfg.FilterRule
	for range r.IntN(5) {
		var rule tailcfg.FilterRule
		for range 1 + r.IntN(2) {
			rule.SrcIPs = append(rule.SrcIPs, pick(r,
				"*", "100.64.0.2", "100.64.0.0/30", "100.64.0.2-100.64.0.9", "10.0.0.0/8", "fd7a:115c:a1e0::2", "fd7a:115c:a1e0::/64",
				"2001:db8::3-2001:db8::21", "0.0.0.0/0", "::/0"))
		}
		for range 1 + r.IntN(2) {
			rule.DstPorts = append(rule.DstPorts, tailcfg.NetPortRange{
				IP: pick(r, "*", "100.64.0.1", "100.64.0.0/10", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::/48", "10.1.2.0-10.1.3.255", "2001:db8:1::/48"),
				Ports: pick(r, tailcfg.PortRangeAny, tailcfg.PortRange{First: 22, Last: 22}, tailcfg.PortRange{First: 80, Last: 443},
					tailcfg.PortRange{First: 0, Last: 0}, tailcfg.PortRange{First: 1024, Last: 65535}),
			})
		}
		if r.IntN(2) == 0 {
			for range 1 + r.IntN(2) {
				rule.IPProto = append(rule.IPProto, pick(r, 6, 17, 1, 58, 132, 47, 2, 99, 50))
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

// randomPacket makes one that mostly is what it says. An inbound one mostly
// comes from a peer and goes to us; an outbound one the other way round.
func randomPacket(r *rand.Rand, in bool) []byte {
	us4, them4 := []string{"100.64.0.1", "10.1.2.3", "10.1.200.1"}, []string{"100.64.0.2", "100.64.0.9", "100.64.1.1", "10.9.9.9", "203.0.113.9"}
	us6 := []string{"fd7a:115c:a1e0::1", "2001:db8:1::5"}
	them6 := []string{"fd7a:115c:a1e0::2", "fd7a:115c:a1e0:1::2", "2001:db8::3", "2001:db8::4", "2001:db8:ffff::1"}
	odd4 := []string{"224.0.0.1", "239.255.255.255", "169.254.1.1", "169.254.169.254", "255.255.255.255", "0.0.0.0", "127.0.0.1"}
	odd6 := []string{"ff02::1", "fe80::1", "febf::1", "fec0::1", "::1", "::ffff:100.64.0.1"}
	v6 := r.IntN(5) < 2
	us, them, odd := us4, them4, odd4
	if v6 {
		us, them, odd = us6, them6, odd6
	}
	src, dst := pick(r, them...), pick(r, us...)
	if !in {
		src, dst = dst, src
	}
	switch r.IntN(12) {
	case 0:
		dst = pick(r, odd...)
	case 1:
		src = pick(r, odd...)
	case 2:
		dst = pick(r, them...)
	}
	proto := pick(r, ipproto.TCP, ipproto.TCP, ipproto.TCP, ipproto.UDP, ipproto.UDP, ipproto.UDP, ipproto.SCTP, ipproto.ICMPv4, ipproto.ICMPv6,
		ipproto.TSMP, ipproto.GRE, ipproto.IGMP, ipproto.Proto(50), ipproto.Proto(0), ipproto.Proto(255), ipproto.Proto(44))
	if r.IntN(4) > 0 { // the ICMP of the family
		if v6 && proto == ipproto.ICMPv4 {
			proto = ipproto.ICMPv6
		} else if !v6 && proto == ipproto.ICMPv6 {
			proto = ipproto.ICMPv4
		}
	}
	t := transport(r, proto)
	var b []byte
	if v6 {
		b = packet6(src, dst, proto, t)
		if r.IntN(10) == 0 {
			b = fragment6(r, src, dst, proto, t)
		}
	} else {
		b = packet4(r, src, dst, proto, t)
	}
	switch r.IntN(25) {
	case 0:
		b = b[:r.IntN(len(b)+1)]
	case 1:
		b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
	case 2:
		b = append(b, make([]byte, 1+r.IntN(8))...)
	}
	return b
}

func transport(r *rand.Rand, proto ipproto.Proto) []byte {
	port := func() uint16 { return pick[uint16](r, 0, 21, 22, 80, 443, 444, 1023, 1024, 53, 40000, 65535) }
	var b []byte
	switch proto {
	case ipproto.TCP:
		b = make([]byte, 20)
		binary.BigEndian.PutUint16(b, port())
		binary.BigEndian.PutUint16(b[2:], port())
		b[12] = 5 << 4
		b[13] = pick[byte](r, 0x02, 0x02, 0x02, 0x12, 0x10, 0x04, 0x11, 0x00, 0x3f, 0x42)
	case ipproto.UDP:
		b = make([]byte, 8+r.IntN(5))
		binary.BigEndian.PutUint16(b, port())
		binary.BigEndian.PutUint16(b[2:], port())
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	case ipproto.SCTP:
		b = make([]byte, 12)
		binary.BigEndian.PutUint16(b, port())
		binary.BigEndian.PutUint16(b[2:], port())
	case ipproto.ICMPv4:
		b = make([]byte, 8+r.IntN(3))
		b[0] = pick[byte](r, 8, 8, 8, 0, 0, 3, 5, 11, 12, 13)
		b[1] = pick[byte](r, 0, 0, 0, 1)
	case ipproto.ICMPv6:
		b = make([]byte, 8+r.IntN(3))
		b[0] = pick[byte](r, 128, 128, 128, 129, 129, 1, 2, 3, 4, 133)
		b[1] = pick[byte](r, 0, 0, 0, 1)
	default:
		b = make([]byte, 4+r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func packet4(r *rand.Rand, src, dst string, proto ipproto.Proto, t []byte) []byte {
	options := 0
	if r.IntN(12) == 0 {
		options = 4 * (1 + r.IntN(10))
	}
	b := make([]byte, 20+options, 20+options+len(t))
	b[0] = 0x40 | byte(len(b)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(t)))
	binary.BigEndian.PutUint16(b[4:], uint16(r.Uint32()))
	if r.IntN(10) == 0 {
		// more fragments; offsets that overlap a header, or are behind any
		binary.BigEndian.PutUint16(b[6:], pick[uint16](r, 0x2000, 0x2001, 0x0001, 0x2009, 0x000a, 0x200b, 0x0010, 0x20b9, 0x4000))
	}
	b[8], b[9] = 64, byte(proto)
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return append(b, t...)
}

func packet6(src, dst string, next ipproto.Proto, t []byte) []byte {
	b := make([]byte, 40, 40+len(t))
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(t)))
	b[6], b[7] = byte(next), 64
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, t...)
}

func fragment6(r *rand.Rand, src, dst string, proto ipproto.Proto, t []byte) []byte {
	h := make([]byte, 8, 8+len(t))
	h[0] = byte(proto)
	blocks := pick[uint16](r, 0, 0, 1, 9, 10, 16)
	binary.BigEndian.PutUint16(h[2:], blocks<<3|uint16(r.IntN(2)))
	return packet6(src, dst, ipproto.Proto(44), append(h, t...))
}

// answerTo turns a packet round: addresses, and ports where it has any.
func answerTo(sent []byte) []byte {
	b := append([]byte(nil), sent...)
	swap := func(i, j, n int) {
		if j+n > len(b) {
			return
		}
		for k := range n {
			b[i+k], b[j+k] = b[j+k], b[i+k]
		}
	}
	at := 40
	if len(b) > 0 && b[0]>>4 == 4 {
		swap(12, 16, 4)
		at = int(b[0]&15) * 4
	} else {
		swap(8, 24, 16)
	}
	swap(at, at+2, 2)
	return b
}
