package evaluate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// CSV gives every number as a table in long form: one line for each measure of
// a device, an algorithm, a rule and an attack, as far as it has them. Columns mean,
// low and high are mean and 95 % interval over seeds (cut at 0 and, for shares, at 1), values the seeds' own,
// separated by blanks. What is not known is empty, among values "NaN".
func (r *Result) CSV() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"device", "attack", "algorithm", "rule", "measure", "unit", "mean", "low", "high", "values"})
	for i := range r.Computing {
		c := &r.Computing[i]
		lines(w, c.measures(), c.Device, "", c.Algorithm, "")
	}
	for i := range r.Benign {
		q := &r.Benign[i]
		lines(w, q.measures(), q.Device, "", q.Algorithm, string(q.Rule))
	}
	for i := range r.Attacks {
		f := &r.Attacks[i]
		lines(w, f.measures(), f.Device, f.Attack, f.Algorithm, string(f.Rule))
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

func lines(w *csv.Writer, all []measure, device, attack, algorithm, rule string) {
	for _, m := range all {
		mean, half := m.value.Mean(), m.value.Half()
		low, high := mean-half, mean+half
		if m.unit != "" { // NaN stays NaN
			low = max(low, 0)
		}
		if m.unit == "share" {
			high = min(high, 1)
		}
		var values []string
		for _, v := range m.value {
			values = append(values, strconv.FormatFloat(v, 'g', -1, 64))
		}
		w.Write([]string{device, attack, algorithm, rule, m.name, m.unit,
			number(mean), number(low), number(high), strings.Join(values, " ")})
	}
}

// number is a value in full, nothing for NaN.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// JSON gives options, data and every number; null for what is not known.
func (r *Result) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	return append(b, '\n'), err
}
