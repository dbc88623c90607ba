package main

func (b *bench) membersAttacked(o *outcome) error { return nil }
func (b *bench) membersKilled(o *outcome) error   { return nil }
func (b *bench) pythonFollower(o *outcome) error  { return nil }
func (b *bench) membersFuzzed(o *outcome) error   { return nil }
