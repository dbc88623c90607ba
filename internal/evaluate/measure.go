package evaluate

import (
	"math"
	"slices"
	"time"

	"bellwether/internal/detect"
)

// week is the unit in which people think of false alarms.
const week = 7 * 24 * time.Hour

func weeks(d time.Duration) float64 { return float64(d) / float64(week) }

// tally counts what a setting did to the rows of one set.
type tally struct {
	rows, flagged    int     // rows that count, and that are above the threshold
	windows, voted   int     // full windows, and those with a majority
	first, alarm     int     // the row flagged first and that of the alarm, from 1; 0: none
	firstIn, alarmIn float64 // seconds from the first row that counts; NaN: not known
}

// count applies a setting to the scores of rows.
func (o *Options) count(rows *Rows, scores []float64, s setting) tally {
	t := tally{firstIn: math.NaN(), alarmIn: math.NaN()}
	v := detect.NewVote(s.window, o.Span)
	begin := 0
	for i, score := range scores {
		flagged := score > s.threshold
		carried := v.Add(rows.time(i), flagged)
		if !rows.attacked(i) {
			continue
		}
		if t.rows++; t.rows == 1 {
			begin = i
		}
		if flagged {
			t.flagged++
			t.note(rows, begin, i, &t.first, &t.firstIn)
		}
		if carried {
			t.note(rows, begin, i, &t.alarm, &t.alarmIn)
		}
		if i+1 >= s.window {
			t.windows++
			if carried {
				t.voted++
			}
		}
	}
	return t
}

// note keeps the first row at which something happened.
func (t *tally) note(rows *Rows, begin, i int, row *int, seconds *float64) {
	if *row > 0 {
		return
	}
	*row = t.rows
	if rows.Times != nil {
		*seconds = rows.Times[i].Sub(rows.Times[begin]).Seconds()
	}
}

// share is part/all, NaN of nothing.
func share(part, all int) float64 {
	if all == 0 {
		return math.NaN()
	}
	return float64(part) / float64(all)
}

// f1 is the harmonic mean of precision and recall, NaN when there is nothing to
// find.
func f1(found, positives, wrong int) float64 {
	if positives == 0 {
		return math.NaN()
	}
	return 2 * float64(found) / float64(positives+found+wrong)
}

// auc is the probability that a row of the attack scores above a benign one,
// ties counting half (Mann and Whitney), NaN when there are none of either.
// Both are sorted in place.
func auc(benign, attack []float64) float64 {
	slices.Sort(benign)
	slices.Sort(attack)
	below, same, wins := 0, 0, 0.0
	for _, a := range attack {
		for below < len(benign) && benign[below] < a {
			below++
		}
		same = max(same, below)
		for same < len(benign) && benign[same] == a {
			same++
		}
		wins += float64(below) + float64(same-below)/2
	}
	return wins / (float64(len(benign)) * float64(len(attack)))
}
