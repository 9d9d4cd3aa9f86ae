package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// admin is the JSON-over-HTTP control surface of a long-lived subcommand.
//
// Routes are ServeMux patterns ("POST /expire"). A request body is one JSON
// value of the handler's type, or empty; the answer is one JSON value. An
// error is {"error": "..."} with status 400, or the status of a statusError.
type admin struct {
	mux  *http.ServeMux
	addr string // "unix:/path" or "tcp:host:port", for the ready line
	ln   net.Listener
}

type statusError struct {
	status int
	err    error
}

func (e statusError) Error() string { return e.err.Error() }

func notFound(format string, a ...any) error {
	return statusError{http.StatusNotFound, fmt.Errorf(format, a...)}
}

// done is the answer of an order that has nothing to report.
type done struct{}

// newAdmin listens at "unix:/path" or "tcp:127.0.0.1:0"; "" makes an admin that
// listens nowhere. POST /shutdown calls stop.
func newAdmin(at string, stop func()) (*admin, error) {
	a := &admin{mux: http.NewServeMux()}
	handle(a, "POST /shutdown", func(context.Context, done) (done, error) {
		time.AfterFunc(10*time.Millisecond, stop)
		return done{}, nil
	})
	if at == "" {
		return a, nil
	}
	network, address, ok := strings.Cut(at, ":")
	if !ok || (network != "unix" && network != "tcp") {
		return nil, fmt.Errorf("cannot use --admin %q: want unix:/path or tcp:host:port", at)
	}
	if network == "unix" {
		os.Remove(address)
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o600); err != nil {
			ln.Close()
			return nil, err
		}
	}
	a.ln = ln
	a.addr = network + ":" + ln.Addr().String()
	return a, nil
}

// serve answers until ctx ends.
func (a *admin) serve(ctx context.Context) {
	if a.ln == nil {
		return
	}
	srv := &http.Server{Handler: a.mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	go srv.Serve(a.ln)
	context.AfterFunc(ctx, func() { srv.Close() })
}

// handle adds a route that takes In and answers Out.
func handle[In, Out any](a *admin, pattern string, f func(context.Context, In) (Out, error)) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "bad JSON body: " + err.Error()})
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			status := http.StatusBadRequest
			var se statusError
			if errors.As(err, &se) {
				status = se.status
			}
			writeJSON(w, status, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"answer does not marshal"}`)
		log.Printf("admin: %v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}
