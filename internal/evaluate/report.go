package evaluate

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bellwether/internal/detect"
	"bellwether/internal/durable"
)

// HTML gives the report as one file that needs nothing else: no script, no
// network.
func (r *Result) HTML(figures []Figure) ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"share": shareText, "time": secondsText, "plain": plainText, "nanos": nanosText,
		"algorithm": title, "rule": Rule.title, "inc": func(i int) int { return i + 1 },
		"svg": inline,
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("the report's template: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		*Result
		Figures []Figure
		Learn   string
	}{r, figures, r.Options.learn()})
	return b.Bytes(), err
}

// learn says for how long a device must be free of alarms before the wished rate
// can be promised.
func (o *Options) learn() string {
	return fmt.Sprintf("%.3g days without an alarm", detect.AtMost(0, week)/o.Alarms*7)
}

// inline takes a figure's XML declaration away.
func inline(svg []byte) template.HTML {
	if at := bytes.Index(svg, []byte("<svg")); at > 0 {
		svg = svg[at:]
	}
	return template.HTML(svg)
}

// AttacksOf gives what was found on a device under a rule, for the report.
func (r *Result) AttacksOf(device string, rule Rule) []Found {
	return slices.DeleteFunc(slices.Clone(r.Attacks), func(f Found) bool { return f.Device != device || f.Rule != rule })
}

// BenignOf gives the benign side of a device.
func (r *Result) BenignOf(device string) []Quiet {
	return slices.DeleteFunc(slices.Clone(r.Benign), func(q Quiet) bool { return q.Device != device })
}

// Rules gives all rules, for the report.
func (r *Result) Rules() []Rule { return Rules() }

// shareText is a share in percent, with its interval.
func shareText(e Estimate) string { return text(e, 100, "%.2f") }

func plainText(e Estimate) string { return text(e, 1, "%.3g") }

func text(e Estimate, scale float64, format string) string {
	mean, half := e.Mean()*scale, e.Half()*scale
	switch {
	case math.IsNaN(mean):
		return "–"
	case math.IsNaN(half) || half == 0:
		return fmt.Sprintf(format, mean)
	}
	return fmt.Sprintf(format+" ± "+format, mean, half)
}

// secondsText is a duration in a unit that suits it.
func secondsText(e Estimate) string {
	mean := e.Mean()
	if math.IsNaN(mean) || mean > 1e9 {
		return "–"
	}
	d := time.Duration(mean * float64(time.Second))
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Nanosecond).String()
}

func nanosText(e Estimate) string {
	scaled := make(Estimate, len(e))
	for i, v := range e {
		scaled[i] = v / 1e9
	}
	return secondsText(scaled)
}

// file is one of the report's files.
type file struct {
	name    string
	content []byte
}

// Write puts report.html, results.csv, results.json and the figures, as .svg and
// .png, into a directory, which is made when there is none. Files of these
// names are replaced.
func (r *Result) Write(dir string) error {
	figures, err := r.Figures()
	if err != nil {
		return err
	}
	html, err1 := r.HTML(figures)
	table, err2 := r.CSV()
	numbers, err3 := r.JSON()
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("making the report: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("making a directory for the report: %w", err)
	}
	files := []file{{"results.csv", table}, {"results.json", numbers}}
	for _, f := range figures {
		files = append(files, file{f.Name + ".svg", f.SVG}, file{f.Name + ".png", f.PNG})
	}
	files = append(files, file{"report.html", html}) // last: when it is there, all is
	for _, f := range files {
		if err := durable.WriteFile(filepath.Join(dir, f.name), f.content, 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}
