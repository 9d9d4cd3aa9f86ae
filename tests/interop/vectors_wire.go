package main

import (
	"bufio"
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"go4.org/mem"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"
	"tailscale.com/derp"
	"tailscale.com/disco"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
)

// keyVectors gives keys as raw bytes and as text.
func keyVectors() (*vectorFile, error) {
	f := &vectorFile{name: "tailscale_keys.json", about: "Keys: raw private and public bytes (hex) and their text forms"}
	text := func(m encoding.TextMarshaler) string {
		b, err := m.MarshalText()
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	for _, name := range []string{"one", "two"} {
		raw := fixedPrivate("node " + name)
		k := key.NodePrivateFromRaw32(mem.B(raw[:]))
		pub := k.Public().Raw32()
		f.add("node", map[string]any{
			"raw": hexOf(raw[:]), "private": text(k), "publicRaw": hexOf(pub[:]), "public": text(k.Public()),
			"short": k.Public().ShortString(),
		})

		raw = fixedPrivate("disco " + name)
		d := key.DiscoPrivateFromRaw32(mem.B(raw[:]))
		pub = d.Public().Raw32()
		f.add("disco", map[string]any{
			"raw": hexOf(raw[:]), "publicRaw": hexOf(pub[:]), "public": text(d.Public()),
			"short": d.Public().ShortString(),
		})

		raw = fixedPrivate("machine " + name)
		var m key.MachinePrivate
		if err := m.UnmarshalText([]byte("privkey:" + hexOf(raw[:]))); err != nil {
			return nil, err
		}
		f.add("machine", map[string]any{
			"raw": hexOf(raw[:]), "private": text(m), "publicRaw": m.Public().UntypedHexString(), "public": text(m.Public()),
		})
	}
	return f, nil
}

// sealed is a NaCl box with a nonce of our choice; upstream's own Seal draws one.
func sealed(clear []byte, nonce [24]byte, pub, priv [32]byte) []byte {
	return box.Seal(nonce[:], clear, &nonce, &pub, &priv)
}

func publicOf(priv [32]byte) (pub [32]byte) {
	curve25519.ScalarBaseMult(&pub, &priv)
	return pub
}

func discoVectors() (*vectorFile, error) {
	f := &vectorFile{
		name:  "tailscale_disco.json",
		about: "Disco messages: `payload` is what package disco marshals; each `wire` envelope opens with key.DiscoShared",
	}
	from, to := fixedPrivate("disco one"), fixedPrivate("disco two")
	fromKey := key.DiscoPrivateFromRaw32(mem.B(from[:]))
	toKey := key.DiscoPrivateFromRaw32(mem.B(to[:]))
	nodeRaw := fixedPrivate("node one")
	node := key.NodePrivateFromRaw32(mem.B(nodeRaw[:])).Public()
	var tx [12]byte
	copy(tx[:], "transaction!")
	ap := netip.MustParseAddrPort
	cases := []struct {
		name   string
		m      disco.Message
		fields map[string]any
	}{
		{"ping", &disco.Ping{TxID: tx, NodeKey: node}, map[string]any{"type": "ping", "txId": hexOf(tx[:]), "nodeKey": node, "padding": 0}},
		{"ping without node key", &disco.Ping{TxID: tx}, map[string]any{"type": "ping", "txId": hexOf(tx[:]), "padding": 0}},
		{"padded ping", &disco.Ping{TxID: tx, NodeKey: node, Padding: 1000}, map[string]any{"type": "ping", "txId": hexOf(tx[:]), "nodeKey": node, "padding": 1000}},
		{"pong IPv4", &disco.Pong{TxID: tx, Src: ap("192.0.2.7:41641")}, map[string]any{"type": "pong", "txId": hexOf(tx[:]), "src": "192.0.2.7:41641"}},
		{"pong IPv6", &disco.Pong{TxID: tx, Src: ap("[2001:db8::7]:1")}, map[string]any{"type": "pong", "txId": hexOf(tx[:]), "src": "[2001:db8::7]:1"}},
		{"call me maybe", &disco.CallMeMaybe{MyNumber: []netip.AddrPort{ap("192.0.2.7:41641"), ap("[2001:db8::7]:65535")}},
			map[string]any{"type": "callMeMaybe", "endpoints": []string{"192.0.2.7:41641", "[2001:db8::7]:65535"}}},
		{"call me maybe, no endpoints", &disco.CallMeMaybe{}, map[string]any{"type": "callMeMaybe", "endpoints": []string{}}},
	}
	for i, c := range cases {
		payload := c.m.AppendMarshal(nil)
		var nonce [24]byte
		n := fixed(fmt.Sprintf("disco nonce %d", i))
		copy(nonce[:], n[:])
		wire := append([]byte(disco.Magic), fromKey.Public().AppendTo(nil)...)
		wire = append(wire, sealed(payload, nonce, publicOf(to), from)...)
		if !disco.LooksLikeDiscoWrapper(wire) {
			return nil, fmt.Errorf("disco %s: upstream does not take it for disco", c.name)
		}
		opened, ok := toKey.Shared(fromKey.Public()).Open(wire[len(disco.Magic)+key.DiscoPublicRawLen:])
		if !ok || !bytes.Equal(opened, payload) {
			return nil, fmt.Errorf("disco %s: upstream does not open it", c.name)
		}
		f.add("messages", map[string]any{
			"name": c.name, "message": c.fields, "payload": hexOf(payload),
			"senderPrivate": hexOf(from[:]), "receiverPrivate": hexOf(to[:]), "nonce": hexOf(nonce[:]), "wire": hexOf(wire),
		})
	}
	whole := (&disco.Pong{TxID: tx, Src: ap("192.0.2.7:41641")}).AppendMarshal(nil)
	for _, p := range [][]byte{
		{}, {1}, {1, 0}, {1, 0, 1, 2, 3}, whole[:len(whole)-1], append(bytes.Clone(whole), 0xff), {2, 9, 0}, {3, 0, 1}, {0, 0}, {0x7f, 0, 1, 2},
		append([]byte{3, 0}, make([]byte, 19)...),
	} {
		m, err := disco.Parse(p)
		c := map[string]any{"payload": hexOf(p), "accepted": err == nil}
		if err == nil {
			c["summary"] = disco.MessageSummary(m)
		}
		f.add("odd", c)
	}
	if err := addRelayVectors(f); err != nil {
		return nil, err
	}
	return f, nil
}

// pipeConn is the connection of a derp.Client that reads and writes buffers.
type pipeConn struct{}

func (pipeConn) Write(p []byte) (int, error)      { return len(p), nil }
func (pipeConn) Close() error                     { return nil }
func (pipeConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (pipeConn) SetDeadline(time.Time) error      { return nil }
func (pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (pipeConn) SetWriteDeadline(time.Time) error { return nil }

func derpVectors() (*vectorFile, error) {
	f := &vectorFile{
		name:  "tailscale_derp.json",
		about: "DERP frames: `client` are the bytes derp.Client writes, `server` are frames and what derp.Client reads from them",
	}
	clientRaw, serverRaw := fixedPrivate("node one"), fixedPrivate("derp server")
	clientKey := key.NodePrivateFromRaw32(mem.B(clientRaw[:]))
	serverKey := key.NodePrivateFromRaw32(mem.B(serverRaw[:]))
	peerRaw := fixedPrivate("node two")
	peer := key.NodePrivateFromRaw32(mem.B(peerRaw[:])).Public()
	frame := func(t derp.FrameType, body []byte) []byte {
		var b bytes.Buffer
		bw := bufio.NewWriter(&b)
		derp.WriteFrame(bw, t, body)
		bw.Flush()
		return b.Bytes()
	}
	newClient := func(in []byte, out io.Writer) (*derp.Client, error) {
		brw := bufio.NewReadWriter(bufio.NewReader(bytes.NewReader(in)), bufio.NewWriter(out))
		return derp.NewClient(clientKey, pipeConn{}, brw, func(string, ...any) {}, derp.CanAckPings(true), derp.ServerPublicKey(serverKey.Public()))
	}

	// What the client writes. Its first frame has a random nonce, so the JSON in
	// it is sealed again with a fixed one.
	var out bytes.Buffer
	c, err := newClient(nil, &out)
	if err != nil {
		return nil, err
	}
	body := out.Bytes()[derp.FrameHeaderLen:]
	info, ok := serverKey.OpenFrom(clientKey.Public(), body[derp.KeyLen:])
	if !ok {
		return nil, errors.New("the server key does not open the client's info")
	}
	var nonce [24]byte
	n := fixed("derp client nonce")
	copy(nonce[:], n[:])
	box := sealed(info, nonce, publicOf(serverRaw), clientRaw)
	if got, ok := serverKey.OpenFrom(clientKey.Public(), box); !ok || !bytes.Equal(got, info) {
		return nil, errors.New("upstream does not open our sealed client info")
	}
	f.add("client", map[string]any{
		"name": "clientInfo", "json": string(info), "clientPrivate": hexOf(clientRaw[:]), "serverPrivate": hexOf(serverRaw[:]),
		"nonce": hexOf(nonce[:]), "wire": hexOf(frame(derp.FrameClientInfo, append(clientKey.Public().AppendTo(nil), box...))),
	})
	packet := []byte("a packet for a peer")
	for _, w := range []struct {
		name   string
		fields map[string]any
		write  func() error
	}{
		{"sendPacket", map[string]any{"to": peer, "packet": hexOf(packet)}, func() error { return c.Send(peer, packet) }},
		{"notePreferred", map[string]any{"preferred": true}, func() error { return c.NotePreferred(true) }},
		{"notePreferred", map[string]any{"preferred": false}, func() error { return c.NotePreferred(false) }},
		{"ping", map[string]any{"data": "0102030405060708"}, func() error { return c.SendPing([8]byte{1, 2, 3, 4, 5, 6, 7, 8}) }},
		{"pong", map[string]any{"data": "0102030405060708"}, func() error { return c.SendPong([8]byte{1, 2, 3, 4, 5, 6, 7, 8}) }},
	} {
		out.Reset()
		if err := w.write(); err != nil {
			return nil, err
		}
		f.add("client", map[string]any{"name": w.name, "fields": w.fields, "wire": hexOf(out.Bytes())})
	}

	// What the server writes, read back by the client.
	n = fixed("derp server nonce")
	copy(nonce[:], n[:])
	infoJSON := []byte(`{"version":2,"TokenBucketBytesPerSecond":1048576,"TokenBucketBytesBurst":65536}`)
	f.add("serverKey", map[string]any{
		"publicRaw": hexOf(serverKey.Public().AppendTo(nil)),
		"wire":      hexOf(frame(derp.FrameServerKey, append([]byte(derp.Magic), serverKey.Public().AppendTo(nil)...))),
	})
	for _, w := range []struct {
		name  string
		extra map[string]any
		wire  []byte
	}{
		{"serverInfo", map[string]any{"json": string(infoJSON), "nonce": hexOf(nonce[:])},
			frame(derp.FrameServerInfo, sealed(infoJSON, nonce, publicOf(clientRaw), serverRaw))},
		{"recvPacket", nil, frame(derp.FrameRecvPacket, append(peer.AppendTo(nil), packet...))},
		{"keepAlive", nil, frame(derp.FrameKeepAlive, nil)},
		{"peerGone disconnected", nil, frame(derp.FramePeerGone, append(peer.AppendTo(nil), byte(derp.PeerGoneReasonDisconnected)))},
		{"peerGone not here", nil, frame(derp.FramePeerGone, append(peer.AppendTo(nil), byte(derp.PeerGoneReasonNotHere)))},
		{"peerGone without reason", nil, frame(derp.FramePeerGone, peer.AppendTo(nil))},
		{"ping", nil, frame(derp.FramePing, []byte{1, 2, 3, 4, 5, 6, 7, 8})},
		{"pong", nil, frame(derp.FramePong, []byte{1, 2, 3, 4, 5, 6, 7, 8})},
		{"health", nil, frame(derp.FrameHealth, []byte("duplicate connection"))},
		{"healthy", nil, frame(derp.FrameHealth, nil)},
		{"restarting", nil, frame(derp.FrameRestarting, unhex("000003e8 00002710"))},
		{"unknown type, then keepAlive", nil, append(frame(0x7e, []byte("later")), frame(derp.FrameKeepAlive, nil)...)},
		{"short recvPacket, then keepAlive", nil, append(frame(derp.FrameRecvPacket, make([]byte, 31)), frame(derp.FrameKeepAlive, nil)...)},
		{"short ping, then keepAlive", nil, append(frame(derp.FramePing, make([]byte, 7)), frame(derp.FrameKeepAlive, nil)...)},
	} {
		c, err := newClient(w.wire, io.Discard)
		if err != nil {
			return nil, err
		}
		v := map[string]any{"name": w.name, "wire": hexOf(w.wire)}
		for k, e := range w.extra {
			v[k] = e
		}
		m, err := c.Recv()
		if err != nil {
			v["error"] = err.Error()
		} else {
			v["type"] = fmt.Sprintf("%T", m)
			v["message"] = derpFields(m)
		}
		f.add("server", v)
	}
	return f, nil
}

func derpFields(m derp.ReceivedMessage) any {
	switch m := m.(type) {
	case derp.ReceivedPacket:
		return map[string]any{"source": m.Source, "packet": hexOf(m.Data)}
	case derp.PingMessage:
		return map[string]any{"data": hexOf(m[:])}
	case derp.PongMessage:
		return map[string]any{"data": hexOf(m[:])}
	case derp.ServerRestartingMessage:
		return map[string]any{"reconnectInMs": m.ReconnectIn.Milliseconds(), "tryForMs": m.TryFor.Milliseconds()}
	}
	b, _ := json.Marshal(m)
	return json.RawMessage(b)
}

func stunVectors() (*vectorFile, error) {
	f := &vectorFile{name: "tailscale_stun.json", about: "STUN binding requests and answers as package net/stun writes and reads them"}
	var tx stun.TxID
	copy(tx[:], "transaction!")
	req := stun.Request(tx)
	f.add("requests", map[string]any{"txId": hexOf(tx[:]), "wire": hexOf(req)})
	for _, a := range []string{"192.0.2.7:41641", "[2001:db8::7]:1", "127.0.0.1:65535", "[::1]:3478"} {
		f.add("responses", map[string]any{"txId": hexOf(tx[:]), "mapped": a, "wire": hexOf(stun.Response(tx, netip.MustParseAddrPort(a)))})
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0xff
		return b
	}
	for _, p := range [][]byte{
		req, flip(req, len(req)-1), flip(req, 4), flip(req, 0), flip(req, 20), flip(req, 26), req[:len(req)-1], req[:20], append(bytes.Clone(req), 0, 0, 0, 0),
	} {
		_, err := stun.ParseBindingRequest(p)
		f.add("parseRequest", map[string]any{"wire": hexOf(p), "is": stun.Is(p), "accepted": err == nil})
	}
	res := stun.Response(tx, netip.MustParseAddrPort("192.0.2.7:41641"))
	header := func(typ string, attrs string) []byte {
		a := unhex(attrs)
		b := append(unhex(typ), byte(len(a)>>8), byte(len(a)))
		b = append(b, unhex("2112a442")...)
		return append(append(b, tx[:]...), a...)
	}
	for _, p := range [][]byte{
		res, res[:len(res)-1], flip(res, 0), flip(res, 4),
		header("0101", "0001 0008 0001 a2a9 c0000207"),                              // MAPPED-ADDRESS alone
		header("0101", "8020 0008 0001 83bb e112a645"),                              // the XOR attribute's old number
		header("0101", "0001 0008 0001 0001 0a000001 0020 0008 0001 83bb e112a645"), // both: XOR wins
		header("0101", "8022 0005 6162636465000000 0020 0008 0001 83bb e112a645"),   // a padded attribute first
		header("0101", "0020 0008 0003 83bb e112a645"),                              // no such family
		header("0101", "0020 0004 0001 83bb"),                                       // cut short
		header("0101", ""),
		header("0111", "0009 0004 00000401"), // an error response
	} {
		got, addr, err := stun.ParseResponse(p)
		v := map[string]any{"wire": hexOf(p), "accepted": err == nil}
		if err == nil {
			v["txId"], v["mapped"] = hexOf(got[:]), addr
		}
		f.add("parseResponse", v)
	}
	return f, nil
}
