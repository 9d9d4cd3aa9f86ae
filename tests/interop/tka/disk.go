package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"tailscale.com/tka"
)

// disk puts Files into a directory of tka's store on disk, commits AUMs to it
// and purges others there, and tells what is in the directory then and what
// the store, opened again, makes of it.
func (q *question) disk() any {
	r := struct {
		Files map[string]hexBytes
		All   []string
		Head  string
		Error string
	}{Files: map[string]hexBytes{}}
	dir, err := os.MkdirTemp("", "tka-oracle-*")
	if err != nil {
		return map[string]any{"Error": err.Error()}
	}
	defer os.RemoveAll(dir)
	fail := func(err error) any {
		r.Error = err.Error()
		return r
	}
	for name, content := range q.Files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fail(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fail(err)
		}
	}
	store, err := tka.ChonkDir(dir)
	if err != nil {
		return fail(err)
	}
	aums, err := parseAUMs(q.AUMs)
	if err != nil {
		return fail(err)
	}
	if err := store.CommitVerifiedAUMs(aums); err != nil {
		return fail(err)
	}
	var purge []tka.AUMHash
	for _, text := range q.Purge {
		var h tka.AUMHash
		if err := h.UnmarshalText([]byte(text)); err != nil {
			return fail(err)
		}
		purge = append(purge, h)
	}
	if err := store.PurgeAUMs(purge); err != nil {
		return fail(err)
	}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		r.Files[name] = content
		return err
	}); err != nil {
		return fail(err)
	}
	if store, err = tka.ChonkDir(dir); err != nil {
		return fail(err)
	}
	all, err := store.AllAUMs()
	if err != nil {
		return fail(err)
	}
	for _, h := range all {
		r.All = append(r.All, h.String())
	}
	a, err := tka.Open(store)
	if err != nil {
		return fail(err)
	}
	r.Head = a.Head().String()
	return r
}
