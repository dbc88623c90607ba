package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// memberKills is how often something of a zone is killed.
const memberKills = 100

// membersKilled kills master and followers at random moments while two
// applications talk with each other.
func (b *bench) membersKilled(o *outcome) error {
	o.goal = fmt.Sprintf("%d kills at random points with messages in flight both ways: nothing acknowledged is lost, nothing comes twice to the application", memberKills)
	m, err := b.newMaster(b.binary, serving{listen: loopback, members: ", messages: 1000"}) // the applications say more than 100 a second
	if err != nil {
		return err
	}
	var both [2]*memberFollower
	defer func() { killAll(m, both[:]...) }()
	for i, name := range []string{"a", "b"} {
		if both[i], err = m.newFollower(b.follower, name, 0); err != nil {
			return err
		}
	}
	apps := [2]*app{newApp(both[0], "b", 5*time.Millisecond), newApp(both[1], "a", 5*time.Millisecond)}
	noise := rand.New(rand.NewPCG(3, memberKills))
	var killed [3]int
	inFlight := 0
	for range memberKills {
		time.Sleep(time.Duration(noise.Int64N(int64(1500 * time.Millisecond))))
		given, _ := apps[0].counts()
		_, got := apps[1].counts()
		if given > got {
			inFlight++
		}
		who := noise.IntN(3)
		killed[who]++
		if err := killOne(m, both, who); err != nil {
			return err
		}
	}
	o.say("killed: the master %d times, the followers %d and %d times; at %d of the kills messages of the first were under way", killed[2], killed[0], killed[1], inFlight)
	if err := settle(o, apps[0], apps[1]); err != nil {
		return err
	}
	err = m.verify()
	o.need(err == nil, "`bellwether ledger verify` finds every byte sound (%v)", err)
	return nil
}

// killOne kills a follower, or the master, and starts it again at once.
func killOne(m *master, followers [2]*memberFollower, who int) error {
	if who < len(followers) {
		followers[who].run.kill()
		return followers[who].start()
	}
	m.run.kill()
	return m.start()
}
