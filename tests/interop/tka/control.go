package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"

	"tailscale.com/tailcfg"
	"tailscale.com/tka"
	"tailscale.com/tstest/tkatest"
	"tailscale.com/types/tkatype"
)

// serveControl is a control server's Tailnet Lock: unmodified package tka and
// the handlers of tstest/tkatest around it. Reads one chain, an AUM in hex a
// line, the genesis first; has the genesis alone until it is told to grow. A
// line with its URL and capability version is all it prints.
func serveControl() error {
	// The handlers log every offer.
	log.SetOutput(io.Discard)
	var chain []tka.AUM
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() && in.Text() != "" {
		raw, err := hex.DecodeString(in.Text())
		if err != nil {
			return err
		}
		var a tka.AUM
		if err := a.Unserialize(tkatype.MarshaledAUM(raw)); err != nil {
			return err
		}
		chain = append(chain, a)
	}
	store := tka.ChonkMem()
	authority, err := tka.Bootstrap(store, chain[0])
	if err != nil {
		return err
	}
	have := 1

	mux := http.NewServeMux()
	mux.HandleFunc("/machine/tka/bootstrap", func(w http.ResponseWriter, r *http.Request) {
		tkatest.HandleTKABootstrap(w, r, tailcfg.TKABootstrapResponse{GenesisAUM: chain[0].Serialize()})
	})
	mux.HandleFunc("/machine/tka/sync/offer", func(w http.ResponseWriter, r *http.Request) {
		tkatest.HandleTKASyncOffer(w, r, authority, store)
	})
	mux.HandleFunc("/machine/tka/sync/send", func(w http.ResponseWriter, r *http.Request) {
		tkatest.HandleTKASyncSend(w, r, authority, store)
	})
	// As many AUMs as the query says; answers the head.
	mux.HandleFunc("/grow", func(w http.ResponseWriter, r *http.Request) {
		to, _ := strconv.Atoi(r.URL.Query().Get("to"))
		if to > have && to <= len(chain) {
			if err := authority.Inform(store, chain[have:to]); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			have = to
		}
		fmt.Fprint(w, authority.Head())
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s %d\n", ln.Addr(), tailcfg.CurrentCapabilityVersion)
	// Ends with whoever started it.
	go func() {
		for in.Scan() {
		}
		os.Exit(0)
	}()
	return http.Serve(ln, mux)
}
