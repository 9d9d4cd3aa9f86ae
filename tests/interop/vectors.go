package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const vectorsUsage = `lab vectors <set> --out DIR
  wire        keys, disco, DERP, STUN, tailcfg and LocalAPI JSON, as Tailscale's packages write and read them
  filter      packets and the verdicts of Tailscale's packet filter (--seed N)
  proxy       what golang.org/x/net/http/httpproxy makes of HTTPS_PROXY and NO_PROXY (--seed N)
  config      configuration files, and what a Tailscale daemon makes of its preferences by them
  health      every warning of a Tailscale daemon on Linux, with its texts
  wycheproof  copies the files of github.com/c2sp/wycheproof that we test with from the module cache`

// vectorFile is one file of vectors: where it is from, and named lists of cases.
type vectorFile struct {
	name  string
	about string
	lists []vectorList
}

type vectorList struct {
	name  string
	cases []any
}

func (f *vectorFile) add(name string, cases ...any) {
	for i := range f.lists {
		if f.lists[i].name == name {
			f.lists[i].cases = append(f.lists[i].cases, cases...)
			return
		}
	}
	f.lists = append(f.lists, vectorList{name, cases})
}

// write puts one case on a line, so that a change of one case is a change of one line.
func (f *vectorFile) write(dir, command string) error {
	var b bytes.Buffer
	line := func(name string, v any, comma string) error {
		j, err := marshalPlain(v)
		fmt.Fprintf(&b, "  %q: %s%s\n", name, j, comma)
		return err
	}
	b.WriteString("{\n")
	err := errors.Join(
		line("about", f.about, ","),
		line("source", "tailscale.com", ","),
		line("version", upstreamVersion(), ","),
		line("command", command, ","),
		line("licence", "made by this project's own program linked to tailscale.com (BSD-3-Clause)", ","),
	)
	for i, l := range f.lists {
		fmt.Fprintf(&b, "  %q: [\n", l.name)
		for k, c := range l.cases {
			j, merr := marshalPlain(c)
			err = errors.Join(err, merr)
			comma := ","
			if k == len(l.cases)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, "    %s%s\n", j, comma)
		}
		comma := ","
		if i == len(f.lists)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "  ]%s\n", comma)
	}
	b.WriteString("}\n")
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	path := filepath.Join(dir, f.name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return err
	}
	cases := 0
	for _, l := range f.lists {
		cases += len(l.cases)
	}
	return printJSON(map[string]any{"wrote": path, "cases": cases, "bytes": b.Len()})
}

// marshalPlain is json.Marshal without the escapes meant for HTML.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

func runVectors(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(vectorsUsage)
	}
	fs := flag.NewFlagSet("vectors "+args[0], flag.ContinueOnError)
	out := fs.String("out", "", "output `directory`")
	seed := fs.Uint("seed", 20261122, "seed of the random packets")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("want --out")
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	command := "lab vectors " + args[0]
	var files []*vectorFile
	var err error
	switch args[0] {
	case "wire":
		for _, make := range []func() (*vectorFile, error){
			keyVectors, discoVectors, derpVectors, stunVectors, tailcfgVectors, localVectors,
		} {
			f, merr := make()
			if merr != nil {
				return merr
			}
			files = append(files, f)
		}
	case "filter":
		var f *vectorFile
		f, err = filterVectors(uint32(*seed))
		files, command = []*vectorFile{f}, fmt.Sprintf("%s --seed %d", command, *seed)
	case "proxy":
		f := proxyVectors(uint32(*seed))
		files, command = []*vectorFile{f}, fmt.Sprintf("%s --seed %d", command, *seed)
	case "config":
		f, err := configVectors()
		if err != nil {
			return err
		}
		files = []*vectorFile{f}
	case "health":
		files = []*vectorFile{healthVectors()}
	case "wycheproof":
		return copyWycheproof(ctx, *out)
	default:
		return errors.New(vectorsUsage)
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := f.write(*out, command); err != nil {
			return err
		}
	}
	return nil
}

// fixed is 32 bytes that depend on nothing but their name.
func fixed(name string) [32]byte { return sha256.Sum256([]byte("agent interop vectors: " + name)) }

// fixedPrivate is fixed, clamped as X25519 private keys are (RFC 7748 5).
func fixedPrivate(name string) [32]byte {
	k := fixed(name)
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}
