package rehearse

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: pictures are
// SVG in it, and it loads nothing.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"seconds": seconds, "percent": percent, "join": func(s []string) string { return strings.Join(s, ", ") },
		"matrix": r.matrix, "delays": r.delays, "of": r.of,
		"delay":   func(c Count, v float64) string { return c.delay(v) },
		"windows": func(c Count) string { return c.windows() },
		"halves":  func(e Evidence) []Single { return e.halves() },
		"found":   func(e Evidence, attack int) string { return e.Attacks[attack].found() },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

func percent(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

// page is the report's template.
const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Rehearsal of attacks</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:75rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #dde3e8;vertical-align:top}
th:first-child,td:first-child,td.text,th.text{text-align:left}th{font-weight:600;background:#f3f6f8}
svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#1c2733}.missed{color:#b3261e;font-weight:600}p.method{max-width:50rem}
</style></head><body>
<h1>Rehearsal of attacks</h1>
<p class="method">{{.Method}}</p>
<h2>Found or not, by device and attack</h2>
{{matrix}}
<h2>How late</h2>
{{delays}}
<h2>Attacks</h2>
<table><tr><th>attack</th><th>lasts</th><th>tried</th><th>found</th><th>in alarm before</th><th>missed</th><th>median s</th><th>median packets</th><th>windows</th><th>of them by the autoencoder's vote</th><th>packets flagged</th><th class="text">missed by</th></tr>
{{range .Attacks}}<tr><td title="{{.About}}">{{.Name}}{{if .Quiet}} (quiet){{end}}</td><td>{{seconds .Lasts}}</td><td>{{.Trials}}</td><td>{{.Found}}</td><td>{{.Already}}</td><td{{if .Missed}} class="missed"{{end}}>{{.Missed}}</td><td>{{delay .Count .Seconds}}</td><td>{{delay .Count .Packets}}</td><td>{{windows .Count}}</td><td>{{percent .VoteTPR}}</td><td>{{percent .PacketTPR}}</td><td class="text">{{join .MissedBy}}</td></tr>
{{end}}</table>
<h2>Devices, and false alarms without any attack</h2>
<table><tr><th>device</th><th class="text">address</th><th>learned from</th><th>benign packets judged</th><th>flagged</th><th>false alarms</th><th>attacks found</th><th>in alarm before</th><th>missed</th></tr>
{{range .Devices}}{{$c := of .MAC}}<tr><td>{{.Name}}</td><td class="text">{{.MAC}}</td><td>{{.Learned}}</td><td>{{.Watched}}</td><td>{{.Flagged}}</td><td>{{len .FalseAlarms}}</td><td>{{$c.Found}}</td><td>{{$c.Already}}</td><td{{if $c.Missed}} class="missed"{{end}}>{{$c.Missed}}</td></tr>
{{end}}</table>
{{range .Devices}}{{$name := .Name}}{{range .FalseAlarms}}<p>False alarm: {{$name}}, {{.Start}}: {{.Reason}}</p>
{{end}}{{end}}{{range .Left}}<p>Left out: {{.Name}} ({{.MAC}}) {{.Why}}.</p>
{{end}}{{if .Evidence}}<h2>What each kind of evidence adds</h2>
<p class="method">The same attacks and models, with the plain evidence (hosts, scan, ports, flows, peer, burst, rate, silent) or the autoencoder's vote switched off. A source address that a device never had counts in all of them.</p>
<table><tr><th>evidence</th><th class="text">attacks</th><th>tried</th><th>found</th><th>in alarm before</th><th>missed</th><th>median s</th><th>median packets</th><th>windows</th><th>false alarms without any attack</th></tr>
{{range .Evidence}}{{$e := .}}{{range halves .}}<tr><td>{{$e.Name}}</td><td class="text">{{.Name}}</td><td>{{.Trials}}</td><td>{{.Found}}</td><td>{{.Already}}</td><td{{if .Missed}} class="missed"{{end}}>{{.Missed}}</td><td>{{delay .Count .Seconds}}</td><td>{{delay .Count .Packets}}</td><td>{{windows .Count}}</td><td>{{$e.FalseAlarms}}</td></tr>
{{end}}{{end}}</table>
<table><tr><th>attack</th>{{range .Evidence}}<th>{{.Name}}: found, median s</th>{{end}}</tr>
{{$evidence := .Evidence}}{{range $i, $a := .Attacks}}<tr><td>{{.Name}}</td>{{range $evidence}}<td>{{found . $i}}</td>{{end}}</tr>
{{end}}</table>
{{end}}<h2>Reasons given</h2>
<table><tr><th>device</th><th class="text">attack</th><th>found</th><th>missed</th><th class="text">the first alert's reason</th></tr>
{{range .Pairs}}<tr><td>{{.Name}}</td><td class="text">{{.Attack}}</td><td>{{.Found}} of {{.Trials}}</td><td{{if .Missed}} class="missed"{{end}}>{{.Missed}}</td><td class="text">{{.Reason}}</td></tr>
{{end}}</table>
<h2>Where the attacks come from</h2>
<table><tr><th>attack</th><th class="text">what it does</th><th class="text">source of its shape</th><th>strikes a second</th></tr>
{{range .Attacks}}<tr><td>{{.Name}}</td><td class="text">{{.About}}</td><td class="text">{{.Source}}</td><td>{{printf "%.3g" .Rate}}</td></tr>
{{end}}</table>
</body></html>
`

// Measures of the pictures, in pixels.
const (
	cell    = 26
	margin  = 190 // left of the cells, for names
	heading = 130 // above the matrix, for names
	axis    = 560 // length of the delays' axis
)

// picture is an SVG image in the making.
type picture struct{ strings.Builder }

func (p *picture) text(x, y float64, turn int, anchor, s string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f" text-anchor="%s" transform="rotate(%d %.1f %.1f)">%s</text>`, x, y, anchor, turn, x, y, template.HTMLEscapeString(s))
}

func (p *picture) box(x, y, w, h float64, colour, title string) {
	fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`, x, y, w, h, colour, template.HTMLEscapeString(title))
}

// whole closes the image.
func (p *picture) whole(width, height int, what string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="%s" viewBox="0 0 %d %d" width="%d" height="%d">%s</svg>`,
		template.HTMLEscapeString(what), width, height, width, height, p.String()))
}

// matrix shows for each device and attack how often it was found.
func (r *Report) matrix() template.HTML {
	var p picture
	for i, a := range r.Attacks {
		p.text(margin+float64(i)*cell+cell/2+4, heading-8, -60, "start", a.Name)
		for j, d := range r.Devices {
			if i == 0 {
				p.text(margin-8, heading+float64(j)*cell+cell*0.65, 0, "end", d.Name)
			}
			pair := r.Pairs[i*len(r.Devices)+j]
			x, y := margin+float64(i)*cell, heading+float64(j)*cell
			p.box(x+1, y+1, cell-2, cell-2, pair.colour(), fmt.Sprintf("%s, %s: %d found, %d missed, %d in alarm before, of %d", pair.Name, pair.Attack, pair.Found, pair.Missed, pair.Already, pair.Trials))
			mark := fmt.Sprint(pair.Found)
			if pair.Already == pair.Trials {
				mark = "–"
			}
			p.text(x+cell/2, y+cell*0.67, 0, "middle", mark)
		}
	}
	foot := heading + len(r.Devices)*cell + 22
	p.text(margin, float64(foot), 0, "start", fmt.Sprintf("in each cell: how many of %d attacks were found; grey: all in alarm before", r.Method.Times))
	return p.whole(margin+max(len(r.Attacks), 14)*cell+heading, foot+12, "devices by attacks: how many were found")
}

// colour goes from red for missed to green for found.
func (c Count) colour() string {
	tried := c.Found + c.Missed
	switch {
	case tried == 0:
		return "#d5dbe0"
	case c.Missed == 0:
		return "#9fd6a8"
	case c.Found == 0:
		return "#ef9a94"
	}
	return "#f6d58a"
}

// Bounds of the axis of delays, as powers of ten of seconds.
const (
	fastest = -3
	slowest = 3
)

// delays shows each attack's median seconds to the alert on a logarithmic axis.
func (r *Report) delays() template.HTML {
	var p picture
	along := func(s float64) float64 {
		place := (math.Log10(max(s, 1e-12)) - fastest) / (slowest - fastest)
		return margin + axis*min(max(place, 0), 1)
	}
	height := len(r.Attacks)*cell + 30
	for e := fastest; e <= slowest; e++ {
		x := along(math.Pow(10, float64(e)))
		p.box(x, 20, 1, float64(height-30), "#dde3e8", "")
		p.text(x, 14, 0, "middle", fmt.Sprintf("%g s", math.Pow(10, float64(e))))
	}
	for i, a := range r.Attacks {
		y := 24 + float64(i)*cell
		p.text(margin-8, y+cell*0.55, 0, "end", a.Name)
		if a.Found == 0 {
			p.text(margin+6, y+cell*0.55, 0, "start", "not found")
			continue
		}
		p.box(margin, y+4, max(2, along(a.Seconds)-margin), cell-12, a.colour(), fmt.Sprintf("%s: median %.3f s, %g packets", a.Name, a.Seconds, a.Packets))
		p.text(along(a.Seconds)+6, y+cell*0.55, 0, "start", fmt.Sprintf("%.2f s, %g packets", a.Seconds, a.Packets))
	}
	return p.whole(margin+axis+170, height, "median delay by attack")
}
