// Package gateway puts the rooms together: it reads the configuration, opens a
// zone's state directory, and runs the monitor over captures (Replay), over a
// network interface (Live) or over a simulated home (Demo). It is the only place
// where parts are wired, and it owns every goroutine.
//
// What it promises: a replay that was stopped and is given again comes to the
// same state as one that was not; a live gateway that was killed goes on with
// everything that it had acknowledged; one process at a time writes a state
// directory, and readers need not wait for it.
package gateway
