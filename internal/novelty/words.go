package novelty

import (
	"fmt"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/zone"
)

// Describe says in words what the snapshots of a finding show, and gives it as
// a feature: what was counted, and the most of it while the device was learned.
func Describe(p *detect.Profile, reason string, rows []zone.Snapshot) (string, zone.AlertFeature) {
	n := len(rows)
	if n == 0 {
		return "", zone.AlertFeature{}
	}
	span := rows[n-1].Time.Sub(rows[0].Time).Abs().Round(100 * time.Millisecond)
	f := zone.AlertFeature{Observed: float64(n), Share: 1}
	switch reason {
	case zone.ReasonHosts:
		f.Name, f.High = "new_hosts_10min", float64(p.NewHosts)
		return fmt.Sprintf("turns to %d hosts it never contacted before in %s, with no answer, %s; at most %d in 10 min before",
			n, span, services(rows), p.NewHosts), f
	case zone.ReasonScan:
		v := ServiceOf(&rows[0])
		use, _ := p.Use(v.Proto, v.Port)
		f.Name, f.High = "new_hosts_of_service_10min", float64(use.NewHosts)
		hosts := "hosts it never contacted before"
		if len(p.Known) >= detect.MaxKnown { // some that it contacted are not listed
			hosts = "hosts"
		}
		return fmt.Sprintf("turns to %d %s %s in %s, with no answer; %s", n, hosts, v, span, before(p, v)), f
	case zone.ReasonPorts:
		f.Name, f.High = "new_ports_10min", float64(p.NewPorts)
		return fmt.Sprintf("tries %d ports it never used before in %s, with no answer, the last %s at %s; at most %d in 10 min before",
			n, span, ServiceOf(&rows[n-1]), rows[n-1].Dst, p.NewPorts), f
	}
	switch reason {
	case zone.ReasonFlows:
		f.Name, f.High = "flows_10s", float64(p.MaxFlows)
		return fmt.Sprintf("opens %d connections in %s, %s; at most %d in %s before", n, span, services(rows), p.MaxFlows, FlowSpan), f
	case zone.ReasonPeer:
		f.Name, f.High = "connections_to_one_host_10s", float64(p.MaxPeer)
		return fmt.Sprintf("opens %d connections in %s to %s, which it did not contact while it was learned, %s; at most %d to one host in %s before",
			n, span, rows[n-1].Dst, services(rows), p.MaxPeer, FlowSpan), f
	case zone.ReasonBurst:
		f.Name, f.High = "sockets_1s", float64(p.MaxBurst)
		return fmt.Sprintf("sends from %d sockets in %s, %s; at most %d in %s before", n, span, services(rows), p.MaxBurst, RateSpan), f
	}
	if reason == zone.ReasonSilent {
		f.Name, f.High = "packets_to_silent_host_1s", float64(p.MaxSilent)
		return fmt.Sprintf("sends %d packets in %s to %s, which it did not contact while it was learned and which sends nothing back but refusals, %s; at most %d in 1 s to such a host before",
			n, span, rows[n-1].Dst, services(rows), p.MaxSilent), f
	}
	f.Name, f.High = "packets_1s", float64(p.MaxRate)
	return fmt.Sprintf("sends %d packets in %s, the last to %s; at most %d in 1 s before", n, span, rows[n-1].Dst, p.MaxRate), f
}

// before says how many new hosts of a service the device turned to while it was
// learned.
func before(p *detect.Profile, v Service) string {
	use, listed := p.Use(v.Proto, v.Port)
	if listed || len(p.Ports) >= detect.MaxPorts {
		return fmt.Sprintf("at most %d there in 10 min before", use.NewHosts)
	}
	if v.flows() {
		return "it never used that port while it was learned"
	}
	return "it never did so while it was learned"
}

// services names the service that most rows are for, the first of equals.
func services(rows []zone.Snapshot) string {
	count := map[Service]int{}
	most := ServiceOf(&rows[0])
	for i := range rows {
		v := ServiceOf(&rows[i])
		if count[v]++; count[v] > count[most] {
			most = v
		}
	}
	if count[most] == len(rows) {
		return most.String()
	}
	return fmt.Sprintf("%d of them %s", count[most], most)
}
