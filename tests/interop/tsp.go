package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tailscale.com/control/tsp"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// noiseOrder is one HTTP request inside the Noise channel.
type noiseOrder struct {
	Method string          `json:"method"` // default GET
	Path   string          `json:"path"`   // "/machine/…"
	Body   json.RawMessage `json:"body"`
}

// runTSP registers one node and reads its map. Each line of output has one key:
// serverKey, keys, registered, map, noise, or end.
func runTSP(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("tsp", flag.ContinueOnError)
	var (
		tags       listFlag
		noise      []noiseOrder
		server     = fs.String("server", "", "coordination server `URL`")
		authKey    = fs.String("authkey", "", "auth `key`")
		hostname   = fs.String("hostname", "lab-tsp", "host `name`")
		ephemeral  = fs.Bool("ephemeral", false, "register as an ephemeral node")
		machineKey = fs.String("machine-key", "", "private machine `key` to use (privkey:…) instead of a new one")
		nodeKey    = fs.String("node-key", "", "private node `key` to use (privkey:…) instead of a new one")
		count      = fs.Int("count", 1, "read this many map responses; 0 reads none")
		seconds    = fs.Float64("seconds", 10, "stop reading after so many seconds, which is no error once one response came")
		stream     = fs.Bool("stream", true, "ask for a stream of responses")
		omitPeers  = fs.Bool("omit-peers", false, "ask for a response without peers")
		update     = fs.Bool("update", false, "send a lite update with a disco key before reading the map")
		noMap      = fs.Bool("register-only", false, "do not ask for a map")
	)
	fs.Var(&tags, "tags", "`tags` to request")
	fs.Func("noise", "`JSON` {method, path, body} to send inside Noise after the first map response; repeatable", func(s string) error {
		var o noiseOrder
		if err := json.Unmarshal([]byte(s), &o); err != nil {
			return err
		}
		noise = append(noise, o)
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *server == "" {
		return errors.New("want --server")
	}
	mk, nk := key.NewMachine(), key.NewNode()
	if *machineKey != "" {
		if err := mk.UnmarshalText([]byte(*machineKey)); err != nil {
			return fmt.Errorf("bad --machine-key: %w", err)
		}
	}
	if *nodeKey != "" {
		if err := nk.UnmarshalText([]byte(*nodeKey)); err != nil {
			return fmt.Errorf("bad --node-key: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration((*seconds+10)*float64(time.Second)))
	defer cancel()

	c, err := tsp.NewClient(tsp.ClientOpts{ServerURL: *server, MachineKey: mk})
	if err != nil {
		return err
	}
	defer c.Close()
	serverKey, err := c.DiscoverServerKey(ctx)
	if err != nil {
		return err
	}
	printJSON(map[string]any{"serverKey": serverKey})
	printJSON(map[string]any{"keys": map[string]any{
		"machineKey": mk, "nodeKey": nk, "machinePublic": mk.Public(), "nodePublic": nk.Public(),
	}})

	hi := &tailcfg.Hostinfo{Hostname: *hostname, OS: "linux", BackendLogID: "lab"}
	reg, err := c.Register(ctx, tsp.RegisterOpts{
		NodeKey: nk, Hostinfo: hi, Ephemeral: *ephemeral, AuthKey: *authKey, Tags: tags,
	})
	if err != nil {
		return err
	}
	printJSON(map[string]any{"registered": reg})
	if *noMap {
		return nil
	}
	if *update {
		err := c.SendMapUpdate(ctx, tsp.SendMapUpdateOpts{NodeKey: nk, DiscoKey: key.NewDisco().Public(), Hostinfo: hi})
		if err != nil {
			return fmt.Errorf("lite update: %w", err)
		}
	}

	session, err := c.Map(ctx, tsp.MapOpts{NodeKey: nk, Hostinfo: hi, Stream: *stream, OmitPeers: *omitPeers})
	if err != nil {
		return err
	}
	defer session.Close()
	late := time.AfterFunc(time.Duration(*seconds*float64(time.Second)), func() { session.Close() })
	read := 0
	end := "count"
	for ; read < *count; read++ {
		mr, err := session.Next()
		if err != nil {
			end = err.Error()
			if !late.Stop() {
				end = "seconds"
			}
			break
		}
		printJSON(map[string]any{"map": mr})
		if read == 0 {
			for _, o := range noise {
				if err := printNoise(ctx, session, *server, o); err != nil {
					return err
				}
			}
		}
	}
	printJSON(map[string]any{"end": end, "responses": read})
	if *count > 0 && read == 0 {
		return fmt.Errorf("no map response came: %s", end)
	}
	return nil
}

func printNoise(ctx context.Context, s *tsp.MapSession, server string, o noiseOrder) error {
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	url := "https://" + strings.SplitN(server, "://", 2)[1] + o.Path
	req, err := http.NewRequestWithContext(ctx, o.Method, url, strings.NewReader(string(o.Body)))
	if err != nil {
		return err
	}
	res, err := s.NoiseRoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return printJSON(map[string]any{"noise": map[string]any{"path": o.Path, "status": res.StatusCode, "body": string(body)}})
}
