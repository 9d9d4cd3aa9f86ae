// Command wireguard_go runs a wireguard-go device whose network and TUN are lines of text, so that its half of a
// conversation can be recorded. Configuration is wireguard-go's own: the first lines, up to an empty one.
//
//	stdin:  rx <hex>   a datagram arrives          tun <hex>  a packet to send
//	        many <n> <hex>  the datagram arrives n times
//	stdout: tx <hex>   a datagram is sent          tun <hex>  a packet was received
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

var printing sync.Mutex

func say(word string, data []byte) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(word, hex.EncodeToString(data))
}

type endpoint struct{}

var peer = netip.MustParseAddrPort("192.0.2.7:8080")

func (endpoint) ClearSrc()           {}
func (endpoint) SrcToString() string { return "" }
func (endpoint) DstToString() string { return peer.String() }
func (endpoint) DstToBytes() []byte  { b, _ := peer.MarshalBinary(); return b }
func (endpoint) DstIP() netip.Addr   { return peer.Addr() }
func (endpoint) SrcIP() netip.Addr   { return netip.Addr{} }

type bind struct {
	arrivals chan []byte
	closed   chan struct{}
}

func (b *bind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.closed = make(chan struct{})
	closed := b.closed
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case <-closed:
			return 0, net.ErrClosed
		case data := <-b.arrivals:
			sizes[0], eps[0] = copy(packets[0], data), endpoint{}
			return 1, nil
		}
	}}, 1, nil
}

func (b *bind) Close() error {
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	return nil
}

func (*bind) SetMark(uint32) error                        { return nil }
func (*bind) ParseEndpoint(string) (conn.Endpoint, error) { return endpoint{}, nil }
func (*bind) BatchSize() int                              { return 1 }
func (*bind) Send(packets [][]byte, _ conn.Endpoint) error {
	for _, data := range packets {
		say("tx", data)
	}
	return nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var config strings.Builder
	for lines.Scan() && lines.Text() != "" {
		config.WriteString(lines.Text() + "\n")
	}
	tun := tuntest.NewChannelTUN()
	network := &bind{arrivals: make(chan []byte, 4096)}
	dev := device.NewDevice(tun.TUN(), network, device.NewLogger(device.LogLevelError, ""))
	if err := errors.Join(dev.IpcSet(config.String()), dev.Up()); err != nil {
		panic(err)
	}
	go func() {
		for packet := range tun.Inbound {
			say("tun", packet)
		}
	}()
	fmt.Println("ready")
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		data, err := hex.DecodeString(words[len(words)-1])
		if err != nil {
			panic(err)
		}
		switch words[0] {
		case "rx":
			network.arrivals <- data
		case "many":
			count, _ := strconv.Atoi(words[1])
			for range count {
				network.arrivals <- data
			}
		case "tun":
			tun.Outbound <- data
		}
	}
}
