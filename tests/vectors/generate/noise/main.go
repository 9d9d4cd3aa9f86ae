// Command noise prints Noise IK and WireGuard IKpsk2 transcripts with every secret fixed, made by github.com/flynn/noise
// and golang.org/x/crypto, which share no code with this project. It writes JSON to standard output.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"

	"github.com/flynn/noise"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

var suite = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashBLAKE2s)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func keypair(scalar []byte) noise.DHKey {
	k, err := suite.GenerateKeypair(bytes.NewReader(scalar))
	check(err)
	return k
}

type transcript struct {
	Name                 string `json:"name"`
	Prologue             string `json:"prologue"`
	InitiatorStatic      string `json:"initiatorStatic"`
	ResponderStatic      string `json:"responderStatic"`
	InitiatorEphemeral   string `json:"initiatorEphemeral"`
	ResponderEphemeral   string `json:"responderEphemeral"`
	PresharedKey         string `json:"presharedKey"`
	Payload1             string `json:"payload1"`
	Payload2             string `json:"payload2"`
	Message1             string `json:"message1"`
	Message2             string `json:"message2"`
	HandshakeHash        string `json:"handshakeHash"`
	InitiatorToResponder string `json:"initiatorToResponder"`
	ResponderToInitiator string `json:"responderToInitiator"`
}

func run(name string, prologue, si, sr, ei, er, psk, p1, p2 []byte) transcript {
	config := func(initiator bool, static, ephemeral []byte) noise.Config {
		c := noise.Config{
			CipherSuite: suite, Pattern: noise.HandshakeIK, Initiator: initiator, Prologue: prologue,
			StaticKeypair: keypair(static), Random: bytes.NewReader(ephemeral),
		}
		if psk != nil {
			c.PresharedKey, c.PresharedKeyPlacement = psk, 2
		}
		if initiator {
			c.PeerStatic = keypair(sr).Public
		}
		return c
	}
	i, err := noise.NewHandshakeState(config(true, si, ei))
	check(err)
	r, err := noise.NewHandshakeState(config(false, sr, er))
	check(err)
	m1, _, _, err := i.WriteMessage(nil, p1)
	check(err)
	_, _, _, err = r.ReadMessage(nil, m1)
	check(err)
	m2, c1, c2, err := r.WriteMessage(nil, p2)
	check(err)
	_, _, _, err = i.ReadMessage(nil, m2)
	check(err)
	k1, k2 := c1.UnsafeKey(), c2.UnsafeKey()
	x := hex.EncodeToString
	return transcript{
		name, x(prologue), x(si), x(sr), x(ei), x(er), x(psk), x(p1), x(p2), x(m1), x(m2), x(r.ChannelBinding()),
		x(k1[:]), x(k2[:]),
	}
}

type macs struct {
	PublicKey string `json:"publicKey"`
	Message   string `json:"message"`
	Mac1      string `json:"mac1"`
	Secret    string `json:"secret"`
	Source    string `json:"source"`
	Nonce     string `json:"nonce"`
	Cookie    string `json:"cookie"`
	Reply     string `json:"reply"`
	Mac2      string `json:"mac2"`
}

func keyed(key []byte, parts ...[]byte) []byte {
	h, err := blake2s.New128(key)
	check(err)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// makeMacs follows whitepaper 5.4.4 and 5.4.7 for a message whose MACs are still missing.
func makeMacs(public, message []byte, receiver uint32) macs {
	labelled := func(label string) []byte {
		h := blake2s.Sum256(append([]byte(label), public...))
		return h[:]
	}
	secret, nonce := fill(0x5e, 32), fill(0xc0, 24)
	source := append(append(fill(0, 10), 0xff, 0xff, 192, 0, 2, 7), 0x1f, 0x90)
	mac1 := keyed(labelled("mac1----"), message)
	cookie := keyed(secret, source)
	aead, err := chacha20poly1305.NewX(labelled("cookie--"))
	check(err)
	reply := []byte{3, 0, 0, 0, byte(receiver), byte(receiver >> 8), byte(receiver >> 16), byte(receiver >> 24)}
	reply = aead.Seal(append(reply, nonce...), nonce, cookie, mac1)
	x := hex.EncodeToString
	return macs{x(public), x(message), x(mac1), x(secret), x(source), x(nonce), x(cookie), x(reply), x(keyed(cookie, message, mac1))}
}

func main() {
	wireguard := []byte("WireGuard v1 zx2c4 Jason@zx2c4.com")
	timestamp := []byte{0x40, 0, 0, 0, 0x6a, 0x1b, 0x2c, 0x3d, 0x11, 0, 0, 0}
	si, sr, ei, er := fill(0x11, 32), fill(0x22, 32), fill(0x33, 32), fill(0x44, 32)
	plain := run("WireGuard without preshared key", wireguard, si, sr, ei, er, make([]byte, 32), timestamp, nil)
	m1, err := hex.DecodeString(plain.Message1)
	check(err)
	initiation := append([]byte{1, 0, 0, 0, 0x78, 0x56, 0x34, 0x12}, m1...)
	out := struct {
		Source      string       `json:"source"`
		Version     string       `json:"version"`
		Command     string       `json:"command"`
		Licence     string       `json:"licence"`
		Transcripts []transcript `json:"transcripts"`
		Macs        macs         `json:"macs"`
	}{
		"our generator tests/vectors/generate/noise, over github.com/flynn/noise and golang.org/x/crypto",
		"github.com/flynn/noise v1.1.0",
		"cd tests/vectors/generate/noise && go run . > ../../noise_transcripts.json",
		"BSD-3-Clause (generator and both modules)",
		[]transcript{
			plain,
			run("WireGuard with a preshared key", wireguard, si, sr, ei, er, fill(0x77, 32), timestamp, nil),
			run("Noise_IK with a prologue and payloads", []byte("Tailscale Control Protocol v1"), si, sr, ei, er, nil,
				[]byte("hello"), []byte("welcome")),
			run("Tailscale's control protocol, version 113", []byte("Tailscale Control Protocol v113"), si, sr, ei, er, nil, nil, nil),
			run("Tailscale's control protocol, version 65535", []byte("Tailscale Control Protocol v65535"), si, sr, ei, er, nil, nil, nil),
		},
		makeMacs(keypair(sr).Public, initiation, 0x12345678),
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	check(encoder.Encode(out))
}
