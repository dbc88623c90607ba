package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bellwether/internal/detect"
	"bellwether/internal/novelty"
	"bellwether/internal/zone"
)

// maxPhrases is how many reasons an alert gives in words.
const maxPhrases = 3

// inWords says what the device does that it did not do while it learned.
func inWords(now *habit, usual *detect.Profile, features []zone.AlertFeature) string {
	phrases := hostPhrases(now, usual)
	if limit := usual.MaxPackets; now.packets > 2*limit && now.packets > 20 {
		phrases = append(phrases, fmt.Sprintf("sends %s packets in 10 s; never more than %s before", Thousands(int64(now.packets)), Thousands(int64(limit))))
	}
	if limit := usual.MaxBytes; now.bytes > 2*limit && now.bytes > 10_000 {
		phrases = append(phrases, fmt.Sprintf("sends %s bytes in 10 s; never more than %s before", Thousands(now.bytes), Thousands(limit)))
	}
	if len(phrases) < 2 && len(features) > 0 {
		phrases = append(phrases, featurePhrase(features[0]))
	}
	return strings.Join(phrases[:min(len(phrases), maxPhrases)], "; ")
}

// hostPhrases names the services by which the device turns to more hosts than ever.
func hostPhrases(now *habit, usual *detect.Profile) []string {
	type excess struct {
		service    novelty.Service
		hosts, was int
	}
	var found []excess
	for s, hosts := range now.hosts {
		was := usedBefore(usual, s)
		if len(hosts) >= 5 && len(hosts) > 2*was {
			found = append(found, excess{s, len(hosts), was})
		}
	}
	slices.SortFunc(found, func(a, b excess) int {
		return cmp.Or(-cmp.Compare(a.hosts, b.hosts), cmp.Compare(a.service.Proto, b.service.Proto), cmp.Compare(a.service.Port, b.service.Port))
	})
	var out []string
	for _, e := range found[:min(len(found), 2)] {
		before := "never before"
		if e.was > 0 {
			before = fmt.Sprintf("never more than %d before", e.was)
		}
		out = append(out, fmt.Sprintf("talks to %d hosts %s in 60 s; %s", e.hosts, e.service, before))
	}
	return out
}

func usedBefore(usual *detect.Profile, s novelty.Service) int {
	use, _ := usual.Use(s.Proto, s.Port)
	return use.MaxHosts
}

// featurePhrase says in words what one feature counts, and that it is unusual.
func featurePhrase(f zone.AlertFeature) string {
	parts := strings.Split(strings.Replace(f.Name, "MI_dir", "MI", 1), "_")
	what := map[string]string{
		"MI": "everything it sends", "H": "everything its address sends",
		"HH": "what it exchanges with one host", "HpHp": "one connection",
	}[parts[0]]
	if strings.HasPrefix(f.Name, "HH_jit") {
		what, parts = "the pauses between its packets to one host", parts[1:]
	}
	stat := map[string]string{
		"weight": "number of packets", "mean": "mean", "std": "spread", "variance": "spread", "magnitude": "mean size both ways",
		"radius": "spread both ways", "covariance": "correlation of both ways", "pcc": "correlation of both ways",
	}[parts[len(parts)-1]]
	span := map[string]string{"L5": "0.2 s", "L3": "0.3 s", "L1": "1 s", "L0.1": "10 s", "L0.01": "100 s"}[parts[1]]
	return fmt.Sprintf("%s of %s over about %s is %.4g; usually %.4g to %.4g", stat, what, span, f.Observed, f.Low, f.High)
}

// Thousands writes n with commas.
func Thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
