package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/hdevalence/ed25519consensus"
	"tailscale.com/tka"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
)

// vectorFile is named lists of cases.
type vectorFile struct {
	names []string
	lists map[string][]any
}

func (f *vectorFile) add(list string, c any) {
	if f.lists == nil {
		f.lists = map[string][]any{}
	}
	if _, ok := f.lists[list]; !ok {
		f.names = append(f.names, list)
	}
	f.lists[list] = append(f.lists[list], c)
}

func (f *vectorFile) write(path string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"about\": %q,\n", "Tailnet Lock: AUMs, node-key signatures, forks and edge signatures; key N has the seed N, 32 times")
	fmt.Fprintf(&b, "  \"source\": \"tailscale.com/tka %s\",\n", upstreamVersion())
	fmt.Fprintf(&b, "  \"licence\": %q", "made by this project's own program linked to tailscale.com (BSD-3-Clause)")
	for _, name := range f.names {
		fmt.Fprintf(&b, ",\n  %q: [", name)
		for i, c := range f.lists[name] {
			j, err := json.Marshal(c)
			if err != nil {
				return err
			}
			comma := ","
			if i == 0 {
				comma = ""
			}
			fmt.Fprintf(&b, "%s\n    %s", comma, j)
		}
		b.WriteString("\n  ]")
	}
	b.WriteString("\n}\n")
	return os.WriteFile(path, b.Bytes(), 0o644)
}

type aumCase struct {
	Name    string
	Bytes   hexBytes
	Hash    string
	SigHash hexBytes
	Valid   bool
}

type sigCase struct {
	Name    string
	Bytes   hexBytes
	SigHash hexBytes
	Text    string
}

type edgeCase struct {
	A, R   int // points; S is 0
	Msg    hexBytes
	ZIP215 bool
	Std    bool
}

// smallOrder are all encodings of the points whose order divides 8, canonical
// and not.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

type forkCase struct {
	Name     string
	Genesis  hexBytes
	Children []hexBytes
	Head     string
}

// testKey is the lock key whose seed is one number 32 times.
func testKey(n byte) key.NLPrivate { return lockPrivate(bytes.Repeat([]byte{n}, ed25519.SeedSize)) }

func trusted(n byte, votes uint, meta map[string]string) tka.Key {
	return tka.Key{Kind: tka.Key25519, Votes: votes, Public: testKey(n).KeyID(), Meta: meta}
}

func signed(a tka.AUM, by ...byte) tka.AUM {
	for _, n := range by {
		sigs, _ := testKey(n).SignAUM(a.SigHash())
		a.Signatures = append(a.Signatures, sigs...)
	}
	return a
}

// writeVectors writes AUMs, node-key signatures and forks as package tka writes and
// judges them, for tests that run without Go. One case
// stands on a line, so that a change of one case is a change of one line.
func writeVectors(path string) error {
	f := &vectorFile{}
	state := tka.State{
		DisablementValues: [][]byte{bytes.Repeat([]byte{0xd1}, 32), bytes.Repeat([]byte{0xd2}, 32)},
		Keys: []tka.Key{
			trusted(1, 2, map[string]string{"purpose": "test", "b": "1", "aa": "", "": "no name", "ключ": "\ufeff"}),
			trusted(2, 1, nil),
			trusted(3, 1, nil),
		},
		StateID1: 0xfedcba9876543210,
		StateID2: 23,
	}
	genesis := signed(tka.AUM{MessageKind: tka.AUMCheckpoint, State: &state}, 1)
	head := genesis.Hash()
	votes, hugeVotes := uint(4096), ^uint(0)
	add := trusted(4, 1, nil)
	lastHash := head
	aums := []struct {
		name string
		aum  tka.AUM
	}{
		{"zero", tka.AUM{}},
		{"genesis", genesis},
		{"add-key", signed(tka.AUM{MessageKind: tka.AUMAddKey, PrevAUMHash: head[:], Key: &add}, 1, 2)},
		{"remove-key", signed(tka.AUM{MessageKind: tka.AUMRemoveKey, PrevAUMHash: head[:], KeyID: testKey(2).KeyID()}, 1)},
		{"no-op", signed(tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: head[:]}, 3)},
		{"update votes", signed(tka.AUM{MessageKind: tka.AUMUpdateKey, PrevAUMHash: head[:], KeyID: testKey(2).KeyID(), Votes: &votes}, 1)},
		{"update meta", signed(tka.AUM{MessageKind: tka.AUMUpdateKey, PrevAUMHash: head[:], KeyID: testKey(2).KeyID(), Meta: map[string]string{"z": "1", "aa": "2"}}, 1)},
		{"unknown kind with all votes", signed(tka.AUM{MessageKind: 200, PrevAUMHash: head[:], Votes: &hugeVotes}, 1)},
		{"state of nil lists", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{}}},
		{"state of empty lists", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{DisablementValues: [][]byte{}, Keys: []tka.Key{}}}},
		{"state with nil elements", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{LastAUMHash: &lastHash, DisablementValues: [][]byte{nil, {}}, Keys: []tka.Key{{}}}}},
		{"empty parent", tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: []byte{}}},
		{"signature of nothing", tka.AUM{MessageKind: tka.AUMNoOp, Signatures: []tkatype.Signature{{}, {KeyID: []byte{}, Signature: []byte{1}}}}},
	}
	for _, c := range aums {
		d := decodeAUM(c.aum.Serialize())
		if !d.OK {
			return fmt.Errorf("%s: %s", c.name, d.Error)
		}
		f.add("aums", aumCase{c.name, d.Bytes, d.Hash, d.SigHash, d.Valid})
	}

	node := func(n byte) key.NodePublic { return nodePublic(bytes.Repeat([]byte{n}, 32)) }
	binary, _ := node(1).MarshalBinary()
	direct := tka.NodeKeySignature{SigKind: tka.SigDirect, KeyID: testKey(1).KeyID(), Pubkey: binary, WrappingPubkey: testKey(5).KeyID()}
	direct.Signature, _ = testKey(1).SignNKS(direct.SigHash())
	rotated, err := tka.ResignNKS(testKey(5), node(2), direct.Serialize())
	if err != nil {
		return err
	}
	twice, err := tka.ResignNKS(testKey(5), node(3), rotated)
	if err != nil {
		return err
	}
	credential := tka.NodeKeySignature{SigKind: tka.SigCredential, KeyID: testKey(1).KeyID(), WrappingPubkey: testKey(6).KeyID()}
	credential.Signature, _ = testKey(1).SignNKS(credential.SigHash())
	byCredential, err := tka.SignByCredential(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, 32)), &credential, node(4))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		sig  []byte
	}{
		{"direct", direct.Serialize()},
		{"rotation", rotated},
		{"rotation of a rotation", twice},
		{"credential", credential.Serialize()},
		{"rotation of a credential", byCredential},
	} {
		d := decodeSig(c.sig)
		f.add("signatures", sigCase{c.name, d.Bytes, d.SigHash, d.Text})
	}

	noOp := func(meta string, by ...byte) tka.AUM {
		return signed(tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: head[:], Meta: map[string]string{"n": meta}}, by...)
	}
	for _, c := range []struct {
		name     string
		children []tka.AUM
	}{
		{"more votes win", []tka.AUM{noOp("a", 2), noOp("b", 1), noOp("c", 3)}},
		{"a signer counts once", []tka.AUM{noOp("a", 2, 2, 2), noOp("b", 2, 3)}},
		{"two of one vote tie with one of two: the lower hash wins", []tka.AUM{noOp("a", 2, 3), noOp("b", 1)}},
		{"the lower hash wins", []tka.AUM{noOp("a", 2), noOp("b", 2), noOp("c", 2), noOp("d", 2)}},
		{"remove-key wins a draw", []tka.AUM{noOp("a", 1), noOp("b", 1), aums[3].aum, noOp("c", 1)}},
		{"votes win over remove-key", []tka.AUM{aums[3].aum, noOp("a", 1, 2)}},
	} {
		store := tka.ChonkMem()
		a, err := tka.Bootstrap(store, genesis)
		if err != nil {
			return err
		}
		fork := forkCase{Name: c.name, Genesis: hexBytes(genesis.Serialize())}
		for _, child := range c.children {
			fork.Children = append(fork.Children, hexBytes(child.Serialize()))
			if err := a.Inform(store, []tka.AUM{child}); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		fork.Head = a.Head().String()
		f.add("forks", fork)
	}
	for i, a := range smallOrder {
		f.add("points", a)
		for j, r := range smallOrder {
			pub, _ := hex.DecodeString(a)
			sig, _ := hex.DecodeString(r + strings.Repeat("00", 32))
			msg := []byte{byte(i), byte(j)}
			f.add("edges", edgeCase{i, j, msg, ed25519consensus.Verify(pub, msg, sig), ed25519.Verify(pub, msg, sig)})
		}
	}
	return f.write(path)
}
