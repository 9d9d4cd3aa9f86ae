package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tka"
	"tailscale.com/types/key"
)

// lockRoutes are the orders of `tailscale lock`, given to the node through its LocalAPI.
func (p *peer) lockRoutes(a *admin) {
	handle(a, "GET /lock/status", func(ctx context.Context, _ done) (*ipnstate.TailnetLockStatus, error) {
		return p.lc.TailnetLockStatus(ctx)
	})
	handle(a, "GET /lock/log", func(ctx context.Context, _ done) ([]ipnstate.TailnetLockUpdate, error) {
		return p.lc.TailnetLockLog(ctx, 50)
	})
	// Trusts the node itself and the given keys, and answers a disablement secret.
	handle(a, "POST /lock/init", func(ctx context.Context, in struct{ Keys []key.NLPublic }) (any, error) {
		st, err := p.lc.TailnetLockStatus(ctx)
		if err != nil {
			return nil, err
		}
		secret := make([]byte, 32)
		rand.Read(secret)
		keys := lockKeys(append(in.Keys, st.PublicKey))
		if _, err := p.lc.TailnetLockInit(ctx, keys, [][]byte{tka.DisablementKDF(secret)}, nil); err != nil {
			return nil, err
		}
		return map[string]string{"secret": hex.EncodeToString(secret)}, nil
	})
	handle(a, "POST /lock/sign", func(ctx context.Context, in struct {
		NodeKey key.NodePublic
		Key     key.NLPublic // the node's lock key, so that it may rotate
	}) (done, error) {
		return done{}, p.lc.TailnetLockSign(ctx, in.NodeKey, []byte(in.Key.Verifier()))
	})
	handle(a, "POST /lock/modify", func(ctx context.Context, in struct{ Add, Remove []key.NLPublic }) (done, error) {
		return done{}, p.lc.TailnetLockModify(ctx, lockKeys(in.Add), lockKeys(in.Remove))
	})
	handle(a, "POST /lock/affected", func(ctx context.Context, in struct{ Key key.NLPublic }) (map[string]int, error) {
		sigs, err := p.lc.TailnetLockAffectedSigs(ctx, in.Key.KeyID())
		return map[string]int{"signatures": len(sigs)}, err
	})
	// What `tailscale lock sign tskey-auth-…` does.
	handle(a, "POST /lock/wrap", func(ctx context.Context, in struct{ AuthKey string }) (any, error) {
		priv := key.NewNLPrivate()
		wrapped, err := p.lc.TailnetLockWrapPreauthKey(ctx, in.AuthKey, priv)
		if err != nil {
			return nil, err
		}
		add := tka.Key{Kind: tka.Key25519, Public: priv.Public().Verifier(), Votes: 1, Meta: map[string]string{"purpose": "pre-auth key"}}
		if err := p.lc.TailnetLockModify(ctx, []tka.Key{add}, nil); err != nil {
			return nil, err
		}
		return map[string]string{"authKey": wrapped}, nil
	})
	handle(a, "POST /lock/disable", func(ctx context.Context, in struct{ Secret string }) (done, error) {
		secret, err := hex.DecodeString(in.Secret)
		if err != nil {
			return done{}, fmt.Errorf("the secret is not hex: %w", err)
		}
		return done{}, p.lc.TailnetLockDisable(ctx, secret)
	})
}

func lockKeys(keys []key.NLPublic) []tka.Key {
	out := make([]tka.Key, len(keys))
	for i, k := range keys {
		out[i] = tka.Key{Kind: tka.Key25519, Public: k.Verifier(), Votes: 1}
	}
	return out
}
