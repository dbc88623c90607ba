package main

import "fmt"

// mostAlarms is the goal for false alarms, of a device in a week.
const mostAlarms = 1

// calmness is what watching the zone's later days without any attack came to.
type calmness struct {
	rule    string
	devices int
	alerts  int
	weeks   float64 // of all devices together
	alarm   float64 // share of that time that devices were in alarm
	reasons []string
}

// perWeek is alerts by device and week.
func (c *calmness) perWeek() float64 { return float64(c.alerts) / c.weeks }

// watchCalm learns the zone and watches its later days under a threshold rule.
func (e *evaluating) watchCalm(rule string) (c calmness, err error) {
	state, err := e.scratch("calm")
	if err != nil {
		return c, err
	}
	args := e.learnAndWatch()
	if rule != "" {
		args = append(args, "--rule", rule)
	}
	r, _, err := e.replay(state, args...)
	if err != nil {
		return c, err
	}
	c.rule = rule
	seconds := 0.0
	for _, d := range r.Devices {
		if d.Watched == 0 {
			continue
		}
		c.devices++
		seconds += d.AlarmSeconds
		for _, a := range d.Alerts {
			c.alerts++
			c.reasons = append(c.reasons, fmt.Sprintf("%s, %s: %s", d.Name, a.Start, a.Reason))
		}
	}
	if c.devices == 0 || r.WatchedSeconds <= 0 {
		return c, fmt.Errorf("no device of the zone was judged on its later days")
	}
	watched := r.WatchedSeconds * float64(c.devices)
	c.weeks, c.alarm = watched/(7*86400), seconds/watched
	return c, nil
}

// defaultCalm watches under the default rule, once.
func (e *evaluating) defaultCalm() (_ *calmness, err error) {
	if e.quiet.devices == 0 {
		e.quiet, err = e.watchCalm("")
	}
	return &e.quiet, err
}

// calm counts false alarms on the zone's later days.
func (e *evaluating) calm(o *outcome) error {
	o.goal = fmt.Sprintf("at most %d false alarm of a device in a week", mostAlarms)
	c, err := e.defaultCalm()
	if err != nil {
		return err
	}
	for _, reason := range c.reasons {
		o.say("alert: %s", reason)
	}
	o.need(c.perWeek() <= mostAlarms, "%d alerts of %d devices in %.3f device-weeks: %.2f a device-week, in alarm %.2f %% of the time",
		c.alerts, c.devices, c.weeks, c.perWeek(), 100*c.alarm)
	if c.alerts == 0 {
		o.say("with none in so short a time, no rate below %.1f a device-week can be promised (95 %%)", noneSeen/c.weeks)
	}
	return nil
}

// noneSeen is the 95 % upper bound of what to expect where nothing was counted
// (Poisson).
const noneSeen = 2.9957

// equationOne shows the paper's threshold, and the others, beside the default.
func (e *evaluating) equationOne(o *outcome) error {
	o.goal = "a reader sees what Equation 1 does, beside the default"
	c, err := e.defaultCalm()
	if err != nil {
		return err
	}
	all := []calmness{*c}
	all[0].rule = "default"
	for _, rule := range []string{"eq1", "conformal", "quantile", "balanced", "calm"} {
		c, err := e.watchCalm(rule)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	t := newTable()
	t.row("rule", "alerts", "a device-week", "time in alarm")
	for _, c := range all {
		t.row(c.rule, fmt.Sprint(c.alerts), fmt.Sprintf("%.2f", c.perWeek()), fmt.Sprintf("%.2f %%", 100*c.alarm))
	}
	o.say("the monitor on the zone's later days, with all its evidence:\n%s", t)
	x, err := e.onCaptures()
	if err != nil {
		return err
	}
	o.say("single rows and votes of the autoencoder, no other evidence:\n%s", x.table(onlyAutoencoder))
	x.complete(o)
	return nil
}
