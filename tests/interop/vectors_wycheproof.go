package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The vectors are the C2SP project's own (Apache 2.0). They are read from the
// module cache, where `go mod download` checked them against the checksum
// database and this sum.
const (
	wycheproofModule = "github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a"
	wycheproofSum    = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="
)

var wycheproofFiles = []string{"chacha20_poly1305_test.json", "xchacha20_poly1305_test.json", "x25519_test.json", "ed25519_test.json"}

func copyWycheproof(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", wycheproofModule)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(b, &got); jerr != nil {
		return fmt.Errorf("go mod download: %w", err)
	}
	if got.Error != "" {
		return fmt.Errorf("go mod download: %s", got.Error)
	}
	if got.Sum != wycheproofSum {
		return fmt.Errorf("%s has the sum %s, want %s", wycheproofModule, got.Sum, wycheproofSum)
	}
	for _, name := range append(wycheproofFiles, "../LICENSE") {
		b, err := os.ReadFile(filepath.Join(got.Dir, "testvectors_v1", name))
		if err != nil {
			return err
		}
		path := filepath.Join(out, filepath.Base(name))
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
		if err := printJSON(map[string]any{"wrote": path, "bytes": len(b)}); err != nil {
			return err
		}
	}
	return nil
}
