package main

func (b *bench) membersAttacked(o *outcome) error { return nil }
