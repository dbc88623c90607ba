package evaluate

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of every figure.
const (
	figureWidth  = 22 * vg.Centimeter
	figureHeight = 11 * vg.Centimeter
)

// Figure is a picture in both formats.
type Figure struct {
	Name, Caption string
	SVG, PNG      []byte
}

// Figures draws the figures of the report: the rates of all algorithms, as in the
// paper's Fig. 5, by row and by vote under Equation 1 and by vote under Calm, and
// the detection time on each device, as in its Fig. 6.
func (r *Result) Figures() ([]Figure, error) {
	var all []Figure
	for _, f := range []struct {
		name string
		rule Rule
		vote bool
	}{{"fig5-rates", Eq1, false}, {"fig5-rates-vote", Eq1, true}, {"fig5-rates-calm", Calm, true}} {
		caption := fmt.Sprintf("True and false positive rates by %s, threshold by %s; means over devices and attacks, 95 %% over seeds.",
			unit(f.vote), f.rule.title())
		p, err := r.rates(f.rule, f.vote)
		if err != nil {
			return nil, fmt.Errorf("drawing %s: %w", f.name, err)
		}
		if all, err = add(all, f.name, caption, p); err != nil {
			return nil, err
		}
	}
	caption := "Detection time: from the attack's first row to the alarm of the vote under Equation 1, computing included; mean over the attacks found."
	if !r.timed() {
		caption = "Detection time: computing alone, for the rows up to the alarm of the vote under Equation 1, since not all rows carry times; mean over the attacks found."
	}
	p, err := r.times()
	if err != nil {
		return nil, fmt.Errorf("drawing the detection time: %w", err)
	}
	return add(all, "fig6-detection-time", caption, p)
}

func unit(vote bool) string {
	if vote {
		return "window vote"
	}
	return "row"
}

// add renders a plot.
func add(all []Figure, name, caption string, p *plot.Plot) ([]Figure, error) {
	f := Figure{Name: name, Caption: caption}
	var svg, png bytes.Buffer
	s := vgsvg.New(figureWidth, figureHeight)
	p.Draw(draw.New(s))
	if _, err := s.WriteTo(&svg); err != nil {
		return nil, fmt.Errorf("drawing %s: %w", name, err)
	}
	i := vgimg.New(figureWidth, figureHeight)
	p.Draw(draw.New(i))
	if _, err := (vgimg.PngCanvas{Canvas: i}).WriteTo(&png); err != nil {
		return nil, fmt.Errorf("drawing %s: %w", name, err)
	}
	f.SVG, f.PNG = svg.Bytes(), png.Bytes()
	return append(all, f), nil
}

// blank is a plot with the style of all figures.
func blank(y string) *plot.Plot {
	p := plot.New()
	for _, t := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		t.Variant = "Sans"
	}
	p.Y.Label.Text = y
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(3)
	p.Legend.XOffs = -vg.Points(6)
	return p
}

// palette are colours that stay apart for people who see few of them, after
// Okabe and Ito (2008).
func palette(i int) color.Color {
	colours := [...]color.RGBA{
		{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255},
		{230, 159, 0, 255}, {86, 180, 233, 255}, {80, 80, 80, 255},
	}
	return colours[i%len(colours)]
}

// rates draws true and false positive rate of every algorithm side by side.
func (r *Result) rates(rule Rule, vote bool) (*plot.Plot, error) {
	p := blank("rate by " + unit(vote))
	var tpr, fpr []Estimate
	var names []string
	for _, a := range r.Options.Algorithms {
		m := r.mean(a, rule)
		names = append(names, m.Algorithm)
		if vote {
			tpr, fpr = append(tpr, m.WindowTPR), append(fpr, m.WindowFPR)
		} else {
			tpr, fpr = append(tpr, m.RowTPR), append(fpr, m.RowFPR)
		}
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.Y.Min, p.Y.Max = 0, 1.25 // room for the legend
	p.Y.Tick.Marker = plot.ConstantTicks{
		{Value: 0, Label: "0"}, {Value: 0.2, Label: "0.2"}, {Value: 0.4, Label: "0.4"},
		{Value: 0.6, Label: "0.6"}, {Value: 0.8, Label: "0.8"}, {Value: 1, Label: "1"},
	}
	if err := bars(p, "true positive rate", tpr, 0); err != nil {
		return nil, err
	}
	return p, bars(p, "false positive rate", fpr, 1)
}

// bars draws one bar for each estimate, with its interval, left or right of the
// middle.
func bars(p *plot.Plot, name string, values []Estimate, side int) error {
	const width = 26 // points
	heights := make(plotter.Values, len(values))
	var whiskers intervals
	shift := vg.Points(width * (float64(side) - 0.5))
	for i, e := range values {
		if !known(e) {
			continue
		}
		heights[i] = e.Mean()
		if half := e.Half(); half > 0 {
			whiskers.add(float64(i), e.Mean(), half)
		}
	}
	b, err := plotter.NewBarChart(heights, vg.Points(width))
	if err != nil {
		return err
	}
	b.Color, b.LineStyle.Width, b.Offset = palette(side), 0, shift
	p.Add(b)
	p.Legend.Add(name, b)
	if len(whiskers.XYs) == 0 {
		return nil
	}
	return whiskers.draw(p, shift)
}

// intervals are confidence intervals around points.
type intervals struct {
	plotter.XYs
	plotter.YErrors
}

func (v *intervals) add(x, mean, half float64) {
	v.XYs = append(v.XYs, plotter.XY{X: x, Y: mean})
	v.YErrors = append(v.YErrors, struct{ Low, High float64 }{min(half, mean), min(half, max(1-mean, 0))})
}

// draw adds them, moved aside like their bars.
func (v *intervals) draw(p *plot.Plot, shift vg.Length) error {
	bars, err := plotter.NewYErrorBars(v)
	if err != nil {
		return err
	}
	p.Add(moved{bars, shift})
	return nil
}

// moved is a plotter that draws aside.
type moved struct {
	plot.Plotter
	by vg.Length
}

func (m moved) Plot(c draw.Canvas, p *plot.Plot) {
	c.Rectangle.Min.X += m.by
	c.Rectangle.Max.X += m.by
	m.Plotter.Plot(c, p)
}

// times draws every algorithm's mean detection time on each device.
func (r *Result) times() (*plot.Plot, error) {
	p := blank("seconds")
	p.X.Label.Text = "device (numbered as in the table of data)"
	low, high := math.Inf(1), 0.0
	for i, a := range r.Options.Algorithms {
		var points plotter.XYs
		for d := range r.Devices {
			mean := r.attacks(a, Eq1, r.Devices[d].Name, (*Found).Detection)
			if v := mean.Mean(); v > 0 {
				points = append(points, plotter.XY{X: float64(d + 1), Y: v})
				low, high = min(low, v), max(high, v)
			}
		}
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, dots.Color = palette(i), palette(i)
		line.Width = vg.Points(1.2)
		p.Add(line, dots)
		p.Legend.Add(title(a), line, dots)
	}
	logarithmic(p, low, high)
	p.X.Min, p.X.Max = 0.5, 1.3*float64(len(r.Devices))+0.5 // room for the legend
	p.X.Tick.Marker = wholeNumbers(len(r.Devices))
	return p, nil
}

// logarithmic scales the y axis over whole decades around what is drawn.
func logarithmic(p *plot.Plot, low, high float64) {
	if high == 0 {
		return // nothing was found
	}
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(low)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(high)+0.01))
}

func wholeNumbers(n int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i := range n {
		ticks = append(ticks, plot.Tick{Value: float64(i + 1), Label: fmt.Sprint(i + 1)})
	}
	return ticks
}
