package main

import (
	"fmt"
	"maps"
	"slices"
	_ "unsafe" // for the link below

	_ "tailscale.com/feature/captiveportal"
	"tailscale.com/health"
	_ "tailscale.com/ipn/ipnlocal"
	_ "tailscale.com/net/dns"
	_ "tailscale.com/wgengine/router/osrouter"
)

// The package keeps its list to itself, and those it has made itself are not even in it.
//
//go:linkname registeredWarnables tailscale.com/health.registeredWarnables
var registeredWarnables map[health.WarnableCode]*health.Warnable

//go:linkname updateAvailableWarnable tailscale.com/health.updateAvailableWarnable
//go:linkname securityUpdateAvailableWarnable tailscale.com/health.securityUpdateAvailableWarnable
//go:linkname unstableWarnable tailscale.com/health.unstableWarnable
//go:linkname localLogWarnable tailscale.com/health.localLogWarnable
//go:linkname notInMapPollWarnable tailscale.com/health.notInMapPollWarnable
//go:linkname noDERPHomeWarnable tailscale.com/health.noDERPHomeWarnable
//go:linkname noDERPConnectionWarnable tailscale.com/health.noDERPConnectionWarnable
//go:linkname derpTimeoutWarnable tailscale.com/health.derpTimeoutWarnable
//go:linkname derpRegionErrorWarnable tailscale.com/health.derpRegionErrorWarnable
//go:linkname noUDP4BindWarnable tailscale.com/health.noUDP4BindWarnable
//go:linkname mapResponseTimeoutWarnable tailscale.com/health.mapResponseTimeoutWarnable
//go:linkname tlsConnectionFailedWarnable tailscale.com/health.tlsConnectionFailedWarnable
//go:linkname magicsockReceiveFuncWarnable tailscale.com/health.magicsockReceiveFuncWarnable
//go:linkname applyDiskConfigWarnable tailscale.com/health.applyDiskConfigWarnable
//go:linkname warmingUpWarnable tailscale.com/health.warmingUpWarnable
//go:linkname ipForwardingWarnable tailscale.com/health.ipForwardingWarnable
var (
	updateAvailableWarnable         *health.Warnable
	securityUpdateAvailableWarnable *health.Warnable
	unstableWarnable                *health.Warnable
	localLogWarnable                *health.Warnable
	notInMapPollWarnable            *health.Warnable
	noDERPHomeWarnable              *health.Warnable
	noDERPConnectionWarnable        *health.Warnable
	derpTimeoutWarnable             *health.Warnable
	derpRegionErrorWarnable         *health.Warnable
	noUDP4BindWarnable              *health.Warnable
	mapResponseTimeoutWarnable      *health.Warnable
	tlsConnectionFailedWarnable     *health.Warnable
	magicsockReceiveFuncWarnable    *health.Warnable
	applyDiskConfigWarnable         *health.Warnable
	warmingUpWarnable               *health.Warnable
	ipForwardingWarnable            *health.Warnable
)

// healthVectors are all warnings that Tailscale's packages for Linux register,
// with their texts once with every argument named and once with none.
func healthVectors() *vectorFile {
	f := &vectorFile{
		name: "tailscale_health.json",
		about: "Every health.Warnable of a Tailscale daemon on Linux: `text` has `<name>` where an argument goes, " +
			"`bare` is the text without any argument, `visibleAfterMs` is TimeToVisible",
	}
	args := health.Args{"LegacyError": "<LegacyError>"}
	for _, arg := range []health.Arg{
		health.ArgAvailableVersion, health.ArgCurrentVersion, health.ArgDuration, health.ArgError,
		health.ArgMagicsockFunctionName, health.ArgDERPRegionID, health.ArgDERPRegionName, health.ArgServerName,
		health.ArgDNSServers, health.ArgDomains, "manufacturer",
	} {
		args[arg] = fmt.Sprintf("<%s>", arg)
	}
	all := maps.Clone(registeredWarnables)
	for _, w := range []*health.Warnable{
		health.NetworkStatusWarnable, health.IPNStateWarnable, health.LoginStateWarnable,
		updateAvailableWarnable, securityUpdateAvailableWarnable, unstableWarnable,
		localLogWarnable, notInMapPollWarnable, noDERPHomeWarnable,
		noDERPConnectionWarnable, derpTimeoutWarnable, derpRegionErrorWarnable,
		noUDP4BindWarnable, mapResponseTimeoutWarnable, tlsConnectionFailedWarnable,
		magicsockReceiveFuncWarnable, applyDiskConfigWarnable, warmingUpWarnable,
		ipForwardingWarnable,
	} {
		all[w.Code] = w
	}
	for _, code := range slices.Sorted(maps.Keys(all)) {
		w := all[code]
		dependsOn := []string{}
		for _, d := range w.DependsOn {
			dependsOn = append(dependsOn, string(d.Code))
		}
		f.add("warnables", map[string]any{
			"code":                string(code),
			"severity":            string(w.Severity),
			"title":               w.Title,
			"text":                w.Text(args),
			"bare":                w.Text(health.Args{}),
			"dependsOn":           dependsOn,
			"impactsConnectivity": w.ImpactsConnectivity,
			"visibleAfterMs":      w.TimeToVisible.Milliseconds(),
		})
	}
	return f
}
