package evaluate

// Result is all that an experiment found.
type Result struct {
	Options   Options   `json:"options"`
	Devices   []Summary `json:"devices"`
	Computing []Compute `json:"computing"`
	Benign    []Quiet   `json:"benign"`
	Attacks   []Found   `json:"attacks"`
}

// Summary says what rows of a device there were.
type Summary struct {
	Name  string   `json:"name"`
	Notes []string `json:"notes"`
	// Train, Opt and Test are the rows of the three parts of the benign ones.
	Train int `json:"train_rows"`
	Opt   int `json:"opt_rows"`
	Test  int `json:"test_rows"`
	// OptHours and TestHours are observed time, 0 when rows carry none.
	OptHours  float64  `json:"opt_hours"`
	TestHours float64  `json:"test_hours"`
	Attacks   []Amount `json:"attacks"`
}

// Amount is how many rows of an attack there were.
type Amount struct {
	Attack string `json:"attack"`
	Rows   int    `json:"rows"` // that belong to the attack
	Timed  bool   `json:"timed"`
}

// Compute is what one algorithm costs on one device.
type Compute struct {
	Device    string `json:"device"`
	Algorithm string `json:"algorithm"`
	// Fit is seconds of training, while other detectors were trained beside it.
	Fit Estimate `json:"fit_s"`
	// One and Many are nanoseconds to score a row, given alone and among 256.
	One  Estimate `json:"row_batch_1_ns"`
	Many Estimate `json:"row_batch_256_ns"`
}

// Quiet is how one algorithm with one rule behaves on benign rows.
type Quiet struct {
	Device    string   `json:"device"`
	Algorithm string   `json:"algorithm"`
	Rule      Rule     `json:"rule"`
	Threshold Estimate `json:"threshold"`
	Window    Estimate `json:"window_rows"`
	// RowFPR and WindowFPR are shares of the third part.
	RowFPR    Estimate `json:"row_fpr"`
	WindowFPR Estimate `json:"window_fpr"`
	// Alarms are false alarms on the third part, PerWeek their rate there.
	Alarms  Estimate `json:"alarms"`
	PerWeek Estimate `json:"alarms_per_week"`
	// Expected is the rate on OptDS, Bound its one-sided 95 % upper bound
	// (Poisson): what can be promised.
	Expected Estimate `json:"expected_per_week"`
	Bound    Estimate `json:"expected_per_week_bound"`
}

// Found is how one algorithm with one rule did on one attack.
type Found struct {
	Device    string `json:"device"`
	Attack    string `json:"attack"`
	Algorithm string `json:"algorithm"`
	Rule      Rule   `json:"rule"`
	// Of single rows. AUC knows no threshold.
	RowTPR Estimate `json:"row_tpr"`
	RowF1  Estimate `json:"row_f1"`
	AUC    Estimate `json:"auc"`
	// RowDelay is the first flagged row of the attack, from 1, RowSeconds its
	// time after the first.
	RowDelay   Estimate `json:"row_delay_rows"`
	RowSeconds Estimate `json:"row_delay_s"`
	// Of the window vote.
	WindowTPR     Estimate `json:"window_tpr"`
	WindowF1      Estimate `json:"window_f1"`
	WindowDelay   Estimate `json:"window_delay_rows"`
	WindowSeconds Estimate `json:"window_delay_s"`
	// Computing is the seconds that scoring the rows up to the alarm takes, row
	// by row.
	Computing Estimate `json:"window_delay_computing_s"`
	// Missed is 1 where the vote never raised an alarm.
	Missed Estimate `json:"missed"`
}

// Detection gives the time from the first row to the alarm: waiting for rows, and
// computing. Where rows carry no time it is computing alone.
func (f *Found) Detection() Estimate {
	sum := make(Estimate, len(f.Computing))
	for i, c := range f.Computing {
		sum[i] = c
		if wait := f.WindowSeconds[i]; wait == wait {
			sum[i] += wait
		}
	}
	return sum
}

// measure is one number of a table.
type measure struct {
	name, unit string
	value      Estimate
}

func (c *Compute) measures() []measure {
	return []measure{{"fit", "s", c.Fit}, {"row_batch_1", "ns", c.One}, {"row_batch_256", "ns", c.Many}}
}

func (q *Quiet) measures() []measure {
	return []measure{
		{"threshold", "", q.Threshold}, {"window", "rows", q.Window},
		{"row_fpr", "share", q.RowFPR}, {"window_fpr", "share", q.WindowFPR},
		{"alarms", "alarms", q.Alarms}, {"alarms_per_week", "1/week", q.PerWeek},
		{"expected_per_week", "1/week", q.Expected}, {"expected_per_week_bound", "1/week", q.Bound},
	}
}

func (f *Found) measures() []measure {
	return []measure{
		{"row_tpr", "share", f.RowTPR}, {"row_f1", "share", f.RowF1}, {"auc", "share", f.AUC},
		{"row_delay", "rows", f.RowDelay}, {"row_delay_time", "s", f.RowSeconds},
		{"window_tpr", "share", f.WindowTPR}, {"window_f1", "share", f.WindowF1},
		{"window_delay", "rows", f.WindowDelay}, {"window_delay_time", "s", f.WindowSeconds},
		{"window_delay_computing", "s", f.Computing}, {"detection_time", "s", f.Detection()},
		{"missed", "share", f.Missed},
	}
}
