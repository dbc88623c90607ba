package rehearse

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"bellwether/internal/zone"
)

// WriteTable writes a report for people: what was found of each attack, what was
// missed and on which devices, and the false alarms.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ATTACK\tLASTS\tTRIED\tFOUND\tIN ALARM BEFORE\tMISSED\tSECONDS\tPACKETS\tWINDOWS\tMISSED BY")
	for _, a := range r.Attacks {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", a.Name, seconds(a.Lasts), a.Trials, a.Found, a.Already, a.Missed,
			a.delay(a.Seconds), a.delay(a.Packets), a.windows(), strings.Join(a.MissedBy, ", "))
	}
	fmt.Fprintln(t, "\nDEVICE\tMAC\tLEARNED\tBENIGN ROWS\tFLAGGED\tFALSE ALARMS\tATTACKS FOUND\tIN ALARM BEFORE\tMISSED")
	for _, d := range r.Devices {
		c := r.of(d.MAC)
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", d.Name, d.MAC, d.Learned, d.Watched, d.Flagged, len(d.FalseAlarms), c.Found, c.Already, c.Missed)
	}
	r.writeEvidence(t)
	t.Flush()
	for _, u := range r.Left {
		fmt.Fprintf(&b, "left out: %s (%s) %s\n", u.Name, u.MAC, u.Why)
	}
	for _, d := range r.Devices {
		for _, f := range d.FalseAlarms {
			fmt.Fprintf(&b, "false alarm: %s, %s: %s\n", d.Name, f.Start, f.Reason)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.Method)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEvidence writes what each kind of evidence adds.
func (r *Report) writeEvidence(t io.Writer) {
	if len(r.Evidence) == 0 {
		return
	}
	fmt.Fprintln(t, "\nEVIDENCE\tATTACKS\tTRIED\tFOUND\tIN ALARM BEFORE\tMISSED\tSECONDS\tPACKETS\tWINDOWS\tFALSE ALARMS")
	for _, e := range r.Evidence {
		for _, c := range e.halves() {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%d\n", e.Name, c.Name, c.Trials, c.Found, c.Already, c.Missed,
				c.delay(c.Seconds), c.delay(c.Packets), c.windows(), e.FalseAlarms)
		}
	}
	fmt.Fprint(t, "\nFOUND, MEDIAN SECONDS")
	for _, e := range r.Evidence {
		fmt.Fprintf(t, "\t%s", e.Name)
	}
	fmt.Fprintln(t)
	for i, a := range r.Attacks {
		fmt.Fprint(t, a.Name)
		for _, e := range r.Evidence {
			fmt.Fprintf(t, "\t%s", e.Attacks[i].found())
		}
		fmt.Fprintln(t)
	}
}

// halves gives the counts of the loud attacks and of the quiet ones, as far as there
// are any.
func (e *Evidence) halves() []Single {
	return slices.DeleteFunc([]Single{{"loud", e.Loud}, {"quiet", e.Quiet}}, func(s Single) bool { return s.Trials == 0 })
}

// found writes how often an attack was found of how many times it could be, and
// when.
func (c Count) found() string {
	switch {
	case c.Found+c.Missed == 0:
		return "–"
	case c.Found == 0:
		return fmt.Sprintf("0 of %d", c.Missed)
	}
	return fmt.Sprintf("%d of %d, %s", c.Found, c.Found+c.Missed, c.delay(c.Seconds))
}

// of counts a device's trials.
func (r *Report) of(mac zone.MAC) Count {
	return counted(r.Trials, func(t *Trial) bool { return t.Device == mac })
}

// delay writes a median, if there is one.
func (c Count) delay(v float64) string {
	if c.Found == 0 {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// windows writes the windows TPR, if there is one.
func (c Count) windows() string {
	if c.Windowed == 0 {
		return "–"
	}
	return percent(c.WindowTPR)
}

func seconds(s float64) string {
	d := time.Duration(s * 1e9)
	if d >= time.Minute {
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// String says in words how it was done.
func (m Method) String() string {
	from := fmt.Sprintf("Learned from the first %.0f %% of the time", 100*m.Split)
	if len(m.Learn) > 0 {
		from = "Learned from captures of its own"
	}
	return fmt.Sprintf("%s (%d packets), attacked in the later part from %s on (%.0f s): each attack %d times by each device, at moments that seed %d chose, "+
		"in excerpts of %.0f s, of which the first %.0f s only fill the statistics. An alert counts until %.0f s after the attack; one that is raised at the same moment "+
		"without the attack does not. SECONDS and PACKETS are medians from the first attack packet to the alert, over what was found. WINDOWS is the mean share "+
		"of vote windows, from the first full one of an attack on, at whose end the device is called malicious; an attack with fewer packets has none.",
		from, m.Packets, m.LaterFrom, m.LaterSeconds, m.Times, m.Seed, m.ExcerptSeconds, m.WarmUpSeconds, m.GraceSeconds)
}

// WriteCSV writes one line for each trial.
func (r *Report) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"attack", "device", "name", "round", "start", "lasts_seconds", "attack_packets", "outcome", "seconds_to_alert", "packets_to_alert",
		"flagged_packets", "window", "windows", "malicious_windows", "voted_windows", "evidence", "reason"})
	for i := range r.Trials {
		t := &r.Trials[i]
		delay, packets := "", ""
		if t.Found {
			delay, packets = strconv.FormatFloat(t.Seconds, 'g', -1, 64), strconv.Itoa(t.Sent)
		}
		c.Write([]string{t.Attack, t.Device.String(), t.Name, strconv.Itoa(t.Round), t.Start, strconv.FormatFloat(t.Lasts, 'g', -1, 64),
			strconv.Itoa(t.Packets), t.Outcome(), delay, packets, strconv.Itoa(t.Flagged), strconv.Itoa(t.Window), strconv.Itoa(t.Windows),
			strconv.Itoa(t.Caught), strconv.Itoa(t.Voted), t.Evidence, t.Reason})
	}
	c.Flush()
	return c.Error()
}
