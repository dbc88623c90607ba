package detect

import (
	"fmt"
	"slices"

	"bellwether/internal/zone"
)

// Bounds of the warnings that a model file may hold.
const (
	maxWarnings     = 8
	maxWarningBytes = 400
)

// burstRatio is how far above its 99th percentile the calibration maximum may
// lie before one burst is suspected of setting it.
const burstRatio = 10

// fewRows is below how many rows a model is called thin.
const fewRows = 1000

// warn fills in the warnings after calibration.
func (m *Model) warn(scores []float64, times []zone.Time, quiet bool) {
	add := func(format string, args ...any) { m.Warnings = append(m.Warnings, fmt.Sprintf(format, args...)) }
	o, n := m.Fit.Options, len(scores)
	if top := m.Fit.P99MSE; m.Fit.MaxMSE > burstRatio*top {
		at := times[slices.Index(scores, m.Fit.MaxMSE)]
		add("the largest score while calibrating, %.3g at %v, is far above the 99th percentile, %.3g: "+
			"one burst may have set the threshold and hide others; learn again if the device was restarted then",
			m.Fit.MaxMSE, at, top)
	}
	if m.Fit.Epochs < o.Epochs && m.Fit.Epochs-m.Fit.Best < o.Patience {
		add("training ended after %d epochs, at its limit of %d row-epochs, before the error stopped falling",
			m.Fit.Epochs, o.Work)
	}
	if m.Fit.TDS < fewRows {
		add("learned from only %d rows: expect more false alarms than from a device that sends more", m.Fit.TDS)
	}
	if o.Rule == Conformal && float64(n+1)*o.Alpha < 1 {
		add("%d calibration rows cannot promise a share of %.3g above the threshold; their maximum was used", n, o.Alpha)
	}
	if !quiet {
		add("even a vote of %d rows raises an alarm on the calibration rows: expect false alarms", m.Window)
	}
}
