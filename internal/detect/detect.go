// Package detect learns how one device's traffic looks while it is clean and
// scores what it does later (paper, section 4.3, "Training Model").
//
// A Model is a deep autoencoder over the 115 features of a snapshot, with hidden
// layers of 75, 50, 33 and 25 % of the input and the decoder mirrored
// (115-86-57-37-28-37-57-86-115), the scaling of its inputs, a threshold on the
// mean squared reconstruction error, and the size of the window over which
// rows vote. Train makes one from rows in time order, NewScorer applies it, Vote
// turns flagged rows into a verdict, MarshalBinary and UnmarshalModel keep it.
//
// Training splits strictly by time into the paper's two sets. The first 60 % of
// the rows are TDS: they fit the scaling and the weights. The later 40 % are
// OptDS: they stop the training, and set threshold and window.
//
// The defaults (rule Calm, which is Max for a device that was learned for less
// than three weeks, a vote of at least 60 rows within 60 s, 30 epochs) were
// chosen on a real smart home's training days alone: learned from the
// first 60 % of 13 devices' rows and watched over the remaining 40 %, 2.1
// device-days, with simulated floods and scans laid over them. There Max gave 0
// false alarms and Eq1 2 or 3, with each of three seeds; both found every packet
// flood after 0.03 s, every HTTP flood after 0.4 s, and 39, or with Max at least
// 37, of 39 scans of each kind after at most 1.6 s in the median.
// With SplitOptDS almost twice as many benign rows lay above the threshold and
// no more attacks were found, and 100 epochs were worse than 30: seeing more of
// a device's day counts for more than fitting it closely. These are the rows on
// which the choice was made, some ten fits compared, and few: the figures
// flatter the choice and are no estimate of the rate elsewhere. Rows from the
// first 300 s after a gap in the capture were left out throughout.
//
// Everything is deterministic: the same rows and options give the same model
// file, byte for byte, on every architecture, and a row's score depends on
// nothing but the row and the model. Time is data, there is no clock.
//
// The package cannot tell a fault from an attack, nor see what the features do
// not show (a scan of one packet a minute): it says how unlike the learned
// behaviour a row is, and Explain says in which features.
package detect

import (
	"slices"
	"time"

	"bellwether/internal/nn"
	"bellwether/internal/zone"
)

// Model is what was learned of one device. It comes from Train or
// UnmarshalModel and is not changed afterwards; any number of goroutines may
// use it. The exported fields are a copy of what its file says, for reading.
type Model struct {
	Origin Origin
	Fit    Fit
	// Threshold is the largest mean squared error of a normal row: a row is
	// malicious when its score is greater.
	Threshold float64
	// Window and Span are the size of the vote, for NewVote.
	Window int
	Span   time.Duration
	// Usual gives each feature's usual range while learning: the 0.5 % and
	// 99.5 % quantiles of all rows.
	Usual [zone.Features]Range
	// Warnings says in plain words what to be wary of; often empty.
	Warnings []string
	// Profile is what the device was seen to do while learning.
	Profile Profile

	scale  *scaler
	net    *nn.Net
	file   []byte
	digest zone.Hash
}

// Origin says what a model was learned from.
type Origin struct {
	Device     zone.MAC   `cbor:"device"`
	Definition zone.Hash  `cbor:"definition"` // digest of the feature definition
	First      zone.SeqID `cbor:"first"`      // range of the snapshots learned from
	Last       zone.SeqID `cbor:"last"`
	From       zone.Time  `cbor:"from"` // times of the earliest and latest row
	To         zone.Time  `cbor:"to"`
}

// Fit says how the training went.
type Fit struct {
	Options Options `cbor:"options"` // with every default filled in
	// TDS, Stop and Calibration count the rows that fitted the weights, that
	// stopped the training, and that set threshold and window, the first two
	// after thinning.
	TDS         int `cbor:"tds"`
	Stop        int `cbor:"stop"`
	Calibration int `cbor:"calibration"`
	// Epochs is how many passes over TDS were made, Best the one whose weights
	// were kept, both counted from 1.
	Epochs int `cbor:"epochs"`
	Best   int `cbor:"best"`
	// StopMSE is the mean squared error on the stopping rows with the weights
	// kept; MeanMSE and MaxMSE are over the scores of the calibration rows.
	StopMSE float64 `cbor:"stop_mse"`
	MeanMSE float64 `cbor:"mean_mse"`
	MaxMSE  float64 `cbor:"max_mse"`
	// P99MSE is the 99 % quantile of those scores. 0 where it was not measured.
	P99MSE float64 `cbor:"p99_mse,omitempty"`
	// Tail is what calibration rows reach together, in a vote of MinWindow rows.
	Tail Tail `cbor:"tail"`
}

// Range is a closed interval of one feature's raw values.
type Range struct {
	_         struct{} `cbor:",toarray"`
	Low, High float32
}

// Digest gives the SHA-256 of the model's file.
func (m *Model) Digest() zone.Hash { return m.digest }

// MarshalBinary gives the model's file. It never fails.
func (m *Model) MarshalBinary() ([]byte, error) { return slices.Clone(m.file), nil }

// layerSizes gives the paper's layer widths: 75, 50, 33 and 25 % of the input,
// rounded down, and back.
func layerSizes() []int {
	const n = zone.Features
	return []int{n, n * 75 / 100, n * 50 / 100, n * 33 / 100, n * 25 / 100,
		n * 33 / 100, n * 50 / 100, n * 75 / 100, n}
}
