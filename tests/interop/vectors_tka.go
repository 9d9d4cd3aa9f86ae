package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hdevalence/ed25519consensus"
	"tailscale.com/tka"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
)

type tkaAUMCase struct {
	Name    string
	Bytes   hexBytes
	Hash    string
	SigHash hexBytes
	Valid   bool
}

type tkaSigCase struct {
	Name    string
	Bytes   hexBytes
	SigHash hexBytes
	Text    string
}

type tkaEdgeCase struct {
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

type tkaForkCase struct {
	Name     string
	Genesis  hexBytes
	Children []hexBytes
	Head     string
}

// tkaKey is the lock key whose seed is one number 32 times.
func tkaKey(n byte) key.NLPrivate { return lockPrivate(bytes.Repeat([]byte{n}, ed25519.SeedSize)) }

func tkaTrusted(n byte, votes uint, meta map[string]string) tka.Key {
	return tka.Key{Kind: tka.Key25519, Votes: votes, Public: tkaKey(n).KeyID(), Meta: meta}
}

func tkaSign(a tka.AUM, by ...byte) tka.AUM {
	for _, n := range by {
		sigs, _ := tkaKey(n).SignAUM(a.SigHash())
		a.Signatures = append(a.Signatures, sigs...)
	}
	return a
}

// tkaVectors are AUMs, node-key signatures and forks as package tka writes and
// judges them, for tests that run without Go.
func tkaVectors() (*vectorFile, error) {
	f := &vectorFile{
		name:  "tailscale_tka.json",
		about: "Tailnet Lock: AUMs, node-key signatures and fork resolution by tailscale.com/tka; key N has the seed N, 32 times",
	}
	state := tka.State{
		DisablementValues: [][]byte{bytes.Repeat([]byte{0xd1}, 32), bytes.Repeat([]byte{0xd2}, 32)},
		Keys: []tka.Key{
			tkaTrusted(1, 2, map[string]string{"purpose": "test", "b": "1", "aa": "", "": "no name", "ключ": "\ufeff"}),
			tkaTrusted(2, 1, nil),
			tkaTrusted(3, 1, nil),
		},
		StateID1: 0xfedcba9876543210,
		StateID2: 23,
	}
	genesis := tkaSign(tka.AUM{MessageKind: tka.AUMCheckpoint, State: &state}, 1)
	head := genesis.Hash()
	votes, hugeVotes := uint(4096), ^uint(0)
	add := tkaTrusted(4, 1, nil)
	lastHash := head
	aums := []struct {
		name string
		aum  tka.AUM
	}{
		{"zero", tka.AUM{}},
		{"genesis", genesis},
		{"add-key", tkaSign(tka.AUM{MessageKind: tka.AUMAddKey, PrevAUMHash: head[:], Key: &add}, 1, 2)},
		{"remove-key", tkaSign(tka.AUM{MessageKind: tka.AUMRemoveKey, PrevAUMHash: head[:], KeyID: tkaKey(2).KeyID()}, 1)},
		{"no-op", tkaSign(tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: head[:]}, 3)},
		{"update votes", tkaSign(tka.AUM{MessageKind: tka.AUMUpdateKey, PrevAUMHash: head[:], KeyID: tkaKey(2).KeyID(), Votes: &votes}, 1)},
		{"update meta", tkaSign(tka.AUM{MessageKind: tka.AUMUpdateKey, PrevAUMHash: head[:], KeyID: tkaKey(2).KeyID(), Meta: map[string]string{"z": "1", "aa": "2"}}, 1)},
		{"unknown kind with all votes", tkaSign(tka.AUM{MessageKind: 200, PrevAUMHash: head[:], Votes: &hugeVotes}, 1)},
		{"state of nil lists", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{}}},
		{"state of empty lists", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{DisablementValues: [][]byte{}, Keys: []tka.Key{}}}},
		{"state with nil elements", tka.AUM{MessageKind: tka.AUMCheckpoint, State: &tka.State{LastAUMHash: &lastHash, DisablementValues: [][]byte{nil, {}}, Keys: []tka.Key{{}}}}},
		{"empty parent", tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: []byte{}}},
		{"signature of nothing", tka.AUM{MessageKind: tka.AUMNoOp, Signatures: []tkatype.Signature{{}, {KeyID: []byte{}, Signature: []byte{1}}}}},
	}
	for _, c := range aums {
		d := decodeAUM(c.aum.Serialize())
		if !d.OK {
			return nil, fmt.Errorf("%s: %s", c.name, d.Error)
		}
		f.add("aums", tkaAUMCase{c.name, d.Bytes, d.Hash, d.SigHash, d.Valid})
	}

	node := func(n byte) key.NodePublic { return rawNodePublic(bytes.Repeat([]byte{n}, 32)) }
	binary, _ := node(1).MarshalBinary()
	direct := tka.NodeKeySignature{SigKind: tka.SigDirect, KeyID: tkaKey(1).KeyID(), Pubkey: binary, WrappingPubkey: tkaKey(5).KeyID()}
	direct.Signature, _ = tkaKey(1).SignNKS(direct.SigHash())
	rotated, err := tka.ResignNKS(tkaKey(5), node(2), direct.Serialize())
	if err != nil {
		return nil, err
	}
	twice, err := tka.ResignNKS(tkaKey(5), node(3), rotated)
	if err != nil {
		return nil, err
	}
	credential := tka.NodeKeySignature{SigKind: tka.SigCredential, KeyID: tkaKey(1).KeyID(), WrappingPubkey: tkaKey(6).KeyID()}
	credential.Signature, _ = tkaKey(1).SignNKS(credential.SigHash())
	byCredential, err := tka.SignByCredential(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{6}, 32)), &credential, node(4))
	if err != nil {
		return nil, err
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
		f.add("signatures", tkaSigCase{c.name, d.Bytes, d.SigHash, d.Text})
	}

	noOp := func(meta string, by ...byte) tka.AUM {
		return tkaSign(tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: head[:], Meta: map[string]string{"n": meta}}, by...)
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
			return nil, err
		}
		fork := tkaForkCase{Name: c.name, Genesis: hexBytes(genesis.Serialize())}
		for _, child := range c.children {
			fork.Children = append(fork.Children, hexBytes(child.Serialize()))
			if err := a.Inform(store, []tka.AUM{child}); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
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
			f.add("edges", tkaEdgeCase{i, j, msg, ed25519consensus.Verify(pub, msg, sig), ed25519.Verify(pub, msg, sig)})
		}
	}
	return f, nil
}
