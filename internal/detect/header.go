package detect

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"bellwether/internal/canonical"
	"bellwether/internal/zone"
)

// header is the part of a model file that describes the network.
type header struct {
	Origin     Origin                 `cbor:"origin"`
	Fit        Fit                    `cbor:"fit"`
	Layers     []int                  `cbor:"layers"`
	Threshold  float64                `cbor:"threshold"`
	Window     int                    `cbor:"window"`
	Span       time.Duration          `cbor:"span"`
	ScaleMean  [zone.Features]float64 `cbor:"scale_mean"`
	ScaleSigma [zone.Features]float64 `cbor:"scale_sigma"`
	Usual      [zone.Features]Range   `cbor:"usual"`
	Warnings   []string               `cbor:"warnings"`
	Profile    Profile                `cbor:"profile"`
}

func (m *Model) header() *header {
	return &header{
		Origin: m.Origin, Fit: m.Fit, Layers: m.net.Sizes(),
		Threshold: m.Threshold, Window: m.Window, Span: m.Span,
		ScaleMean: m.scale.mean, ScaleSigma: m.scale.sigma,
		Usual: m.Usual, Warnings: m.Warnings, Profile: m.Profile,
	}
}

// An empty list is null in a header.
func encodeHeader(h *header) ([]byte, error) { return canonical.MarshalNull(h) }

var decoding = canonical.Bounds{Nesting: 8, Pairs: 64, Elements: 1024}.Decoder()

func decodeHeader(b []byte) (*header, error) {
	h := &header{}
	if err := decoding.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return h, nil
}

// validate refuses a header that Train cannot have written.
func (h *header) validate() error {
	if !slices.Equal(h.Layers, layerSizes()) {
		return fmt.Errorf("layers %v, want %v", h.Layers, layerSizes())
	}
	if !finite(h.Threshold) || h.Threshold < 0 {
		return fmt.Errorf("threshold is %v", h.Threshold)
	}
	if h.Window < 1 || h.Window > maxWindow || h.Span <= 0 || h.Span > maxSpan {
		return fmt.Errorf("vote over %d rows within %v is out of range", h.Window, h.Span)
	}
	if err := h.Fit.validate(); err != nil {
		return err
	}
	for c, r := range h.Usual {
		if !finite(float64(r.Low)) || !finite(float64(r.High)) || r.Low > r.High {
			return fmt.Errorf("usual range of feature %d is %v to %v", c, r.Low, r.High)
		}
	}
	if err := (&scaler{mean: h.ScaleMean, sigma: h.ScaleSigma}).validate(); err != nil {
		return err
	}
	if err := validateWarnings(h.Warnings); err != nil {
		return err
	}
	return h.Profile.Validate()
}

func (f *Fit) validate() error {
	if f.Options != f.Options.withDefaults() {
		return errors.New("its training options are incomplete")
	}
	if err := f.Options.Validate(); err != nil {
		return err
	}
	if f.TDS < 1 || f.Stop < 1 || f.Calibration < 1 {
		return fmt.Errorf("learned from %d, %d and %d rows", f.TDS, f.Stop, f.Calibration)
	}
	if f.Best < 1 || f.Epochs < f.Best || f.Epochs > f.Options.Epochs {
		return fmt.Errorf("kept epoch %d of %d, at most %d", f.Best, f.Epochs, f.Options.Epochs)
	}
	t := f.Tail
	if t.Observed < 0 || t.Blocks < 1 || t.Peaks < 0 || t.Peaks > t.Blocks || t.Peaks > 0 && (t.Level <= 0 || t.Shape <= 0) {
		return fmt.Errorf("the tail of its scores is %+v", t)
	}
	for _, v := range []float64{f.StopMSE, f.MeanMSE, f.MaxMSE, f.P99MSE, t.Level, t.Shape, t.Top} {
		if !finite(v) || v < 0 {
			return fmt.Errorf("a mean squared error is %v", v)
		}
	}
	return nil
}

func validateWarnings(warnings []string) error {
	if len(warnings) > maxWarnings {
		return fmt.Errorf("%d warnings, at most %d", len(warnings), maxWarnings)
	}
	for _, w := range warnings {
		if len(w) == 0 || len(w) > maxWarningBytes || !utf8.ValidString(w) {
			return fmt.Errorf("a warning of %d bytes is too long or no text", len(w))
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
