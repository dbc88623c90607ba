package alert

import (
	"fmt"
	"io"
	"time"

	"bellwether/internal/zone"
)

// Write writes an alert for people: what, since when, why, and how to go on.
func Write(w io.Writer, a *zone.Alert, id string) {
	fmt.Fprintf(w, "%s  %s (%s) stopped behaving like itself at %s\n", id, a.Name, a.Device, a.Raised.Std().Format(time.RFC3339))
	fmt.Fprintf(w, "  why    %s\n", a.Text)
	switch a.Reason {
	case zone.ReasonHosts, zone.ReasonScan, zone.ReasonPorts, zone.ReasonFlows, zone.ReasonPeer, zone.ReasonBurst, zone.ReasonRate, zone.ReasonSilent:
		fmt.Fprintf(w, "  count  %.0f, at most %.0f are tolerated of this device; since %s\n", a.Score, a.Threshold, a.Since.Std().Format("15:04:05.000"))
	case zone.ReasonScore:
		fmt.Fprintf(w, "  score  %.4g, threshold %.4g: %d of the last %d snapshots lie above it, since %s\n",
			a.Score, a.Threshold, a.Flagged, a.Window, a.Since.Std().Format("15:04:05.000"))
	}
	if n := a.Network; n != nil {
		fmt.Fprintf(w, "  policy %s: %s\n", n.SHA256.Short(), n.Evidence)
		if outside := n.Evidence.Services(); outside != "" {
			fmt.Fprintf(w, "         %s\n", outside)
		}
	}
}

// WriteFeatures writes the features that made an alert as a table.
func WriteFeatures(w io.Writer, a *zone.Alert) {
	fmt.Fprintf(w, "  %-26s %12s   %-25s %s\n", "feature", "observed", "usually", "share of the error")
	for _, f := range a.Features {
		fmt.Fprintf(w, "  %-26s %12.5g   %-25s %5.1f %%\n", f.Name, f.Observed, fmt.Sprintf("%.5g to %.5g", f.Low, f.High), 100*f.Share)
	}
}
