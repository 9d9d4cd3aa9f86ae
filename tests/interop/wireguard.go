package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// runWireGuard is a userspace WireGuard of today on a TUN device: the peer
// that the data plane's benchmark measures against. It is configured by the
// cross-platform userspace protocol ("private_key=...") on standard input, up
// to an empty line; addresses and routes are the caller's.
func runWireGuard(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("wireguard", flag.ContinueOnError)
	name := flags.String("tun", "wg0", "name of the TUN device to make")
	mtu := flags.Int("mtu", 1280, "its MTU")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	var config strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		if line == "\n" {
			break
		}
		config.WriteString(line)
	}
	nic, err := tun.CreateTUN(*name, *mtu)
	if err != nil {
		return err
	}
	dev := device.NewDevice(nic, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	defer dev.Close()
	if err := dev.IpcSet(config.String()); err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	if err := printJSON(map[string]any{"tun": *name, "version": wireGuardVersion()}); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(ended)
	}()
	select {
	case <-ctx.Done():
	case <-ended:
	case <-dev.Wait():
	}
	return nil
}

// wireGuardVersion is the version of the module this program is linked to.
func wireGuardVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "golang.zx2c4.com/wireguard" {
				return dep.Version
			}
		}
	}
	return "unknown"
}
