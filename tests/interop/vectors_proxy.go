package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxyVectors asks the package that Tailscale reads its proxy variables with.
// Hosts, ports and parts of NO_PROXY come from small pools, so that they meet.
func proxyVectors(seed uint32) *vectorFile {
	f := &vectorFile{
		name: "go_http_proxy.json",
		about: "Web proxies: `noProxy` are [NO_PROXY, host, port, goes directly]; `proxies` are [HTTPS_PROXY, what it is read as: " +
			"scheme, host, port, user, password]",
	}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	hosts := []string{
		"example.com", "a.example.com", "b.a.example.com", "notexample.com", "Example.COM", "example.com.", "com", "localhost",
		"LOCALHOST", "localhost.example.com", "10.0.0.1", "10.9.8.7", "11.0.0.1", "127.0.0.1", "127.8.8.8", "::1", "fd00::1",
		"fd12::5", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2001:db8::1", "b\u00fccher.example", "xn--bcher-kva.example",
		"www.b\u00fccher.example", "1.0.0.10", "host-1",
	}
	names := []string{
		"example.com", ".example.com", "*.example.com", "EXAMPLE.com", "a.example.com", "com", ".com", "example.com.", "10.0.0.1",
		"10.0.0.0/8", "10.9.0.0/16", "10.0.0.1/8", "0.0.0.0/0", "::/0", "fd00::/8", "fd00::1", "FD00:0:0::1", "[fd00::1]",
		"::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "b\u00fccher.example", ".b\u00fccher.example", "*.b\u00fccher.example",
		"xn--bcher-kva.example", "localhost", "127.0.0.0/8", "0.10", ".0.10", ".1", "*", "*.", ".", "", "host-1", "10.0.0", "/8",
		"a/b", "[]", "example.com/8", "10.0.0.1/33",
	}
	ports := []string{"", "", "", ":443", ":8443", ":", ":0443", ":https", ":443:443"}
	const proxy = "http://proxy:3128"
	ask := func(list, host string, port int) bool {
		c := &httpproxy.Config{HTTPSProxy: proxy, NoProxy: list}
		h := host
		if strings.Contains(h, ":") {
			h = "[" + h + "]"
		}
		u, err := c.ProxyFunc()(&url.URL{Scheme: "https", Host: fmt.Sprintf("%s:%d", h, port)})
		return err == nil && u == nil
	}
	for _, host := range hosts {
		f.add("noProxy", []any{"", host, 443, ask("", host, 443)})
	}
	for range 1200 {
		var parts []string
		for range 1 + r.IntN(3) {
			p := names[r.IntN(len(names))]
			if strings.Contains(p, ":") && !strings.HasPrefix(p, "[") && r.IntN(2) == 0 {
				p = "[" + p + "]"
			}
			p += ports[r.IntN(len(ports))]
			if r.IntN(6) == 0 {
				p = " " + p + " "
			}
			// "*" in one of two lists would leave nothing to tell apart.
			if p == "*" && r.IntN(4) > 0 {
				continue
			}
			parts = append(parts, p)
		}
		list, host, port := strings.Join(parts, ","), hosts[r.IntN(len(hosts))], []int{443, 8443}[r.IntN(2)]
		f.add("noProxy", []any{list, host, port, ask(list, host, port)})
	}
	for _, text := range []string{
		"proxy", "proxy:3128", "http://proxy", "https://proxy", "socks5://proxy", "socks5h://proxy", "HTTP://proxy:8080/",
		"http://[fd00::1]:3128", "socks5://[fd00::1]", "10.0.0.1:3128", "http://user:p%40ss@proxy:3128", "user:pass@proxy:3128",
		"socks5://user@proxy", "http://:pass@proxy", "http://proxy:3128/path?query", "socks5h://u%3Aser:p%25@proxy:9",
	} {
		u, err := (&httpproxy.Config{HTTPSProxy: text}).ProxyFunc()(&url.URL{Scheme: "https", Host: "c.example"})
		if err != nil || u == nil {
			f.add("proxies", []any{text, nil})
			continue
		}
		password, _ := u.User.Password()
		f.add("proxies", []any{text, []string{u.Scheme, u.Hostname(), u.Port(), u.User.Username(), password}})
	}
	return f
}
