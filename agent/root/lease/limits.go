package lease

import "github.com/gifford-lab/gifford-hub/agent/ident"

// limit is how many devices the member, or all members of a group together, may hold.
type limit struct {
	group   string // "" for the member's own
	max     int
	held    int
	holders []Lease // who holds them
}

func (l limit) room() int { return l.max - l.held }

// limits returns all limits of the member, their own first.
func (a allocation) limits() ([]limit, error) {
	own := limit{max: atMost(a.rules.MaxPerUser)}
	if err := a.count(&own, func(user ident.User) (bool, error) { return user == a.Key.User, nil }); err != nil {
		return nil, err
	}
	all := []limit{own}
	generous := 0
	for _, g := range a.rules.Groups {
		in, err := a.InGroup(a.Key.User, g.Name)
		if err != nil {
			return nil, err
		}
		if !in {
			continue
		}
		generous = max(generous, atMost(g.MaxPerUser))
		if g.Max > 0 {
			together := limit{group: g.Name, max: atMost(g.Max)}
			if err := a.count(&together, func(user ident.User) (bool,
				error) {
				return a.InGroup(user, g.Name)
			}); err != nil {
				return nil, err
			}
			all = append(all, together)
		}
	}
	if generous > 0 {
		all[0].max = generous
	}
	return all, nil
}

// count adds what those users hold for whom is returns true.
func (a allocation) count(l *limit, is func(ident.User) (bool, error)) error {
	for _, held := range a.held {
		n := 0
		for _, h := range held.Devices {
			if !a.isOpen(h) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		in, err := is(held.Key.User)
		if err != nil {
			return err
		}
		if in {
			l.held += n
			l.holders = append(l.holders, held)
		}
	}
	return nil
}

// atMost is a limit of the policy as a budget.
func atMost(n uint64) int {
	if n > 1<<31 {
		return unlimited
	}
	return int(n)
}
