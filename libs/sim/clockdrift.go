package sim

// clockwork is the monotonic clock of one machine: it runs a little fast or
// slow, by an amount that changes. It never goes back, and killing a process
// leaves it alone.
type clockwork struct {
	at    int64 // virtual time when the rate was set
	read  int64 // what the clock showed then
	ppm   int64 // how many millionths it gains
	wrong int64 // by how much the wall clock is off
}

const million = 1_000_000

// show is what the clock shows at a virtual time.
func (c *clockwork) show(now int64) int64 {
	d := now - c.at
	return c.read + d + d/million*c.ppm + d%million*c.ppm/million
}

// when is the virtual time at which the clock will show at least t.
func (c *clockwork) when(t int64) int64 {
	if t <= c.read {
		return c.at
	}
	d := t - c.read
	at := c.at + d - d/(million+c.ppm)*c.ppm - d%(million+c.ppm)*c.ppm/(million+c.ppm)
	for c.show(at) < t {
		at++
	}
	return at
}

// run sets how fast the clock goes from now on.
func (c *clockwork) run(now, ppm int64) {
	c.read, c.at, c.ppm = c.show(now), now, ppm
}

// wall is what the machine takes for the time of day.
func (c *clockwork) wall(now int64) int64 { return c.show(now) + c.wrong }

// atLeast is how much virtual time passes at least while a node's clock moves
// by d, and a little less, for the rounding of steps.
func (w *world) atLeast(d int64) int64 { return d - d/million*2*w.o.ClockPPM - ms }
