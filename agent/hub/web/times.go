package web

import (
	"fmt"
	"time"
)

// age rounds a time that has passed to its largest unit, for people.
func age(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	for _, u := range units {
		switch n := int(d / u.size); {
		case n == 1:
			return "1 " + u.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "less than a minute"
}

// span is age to the minute, unless it is of days.
func span(d time.Duration) string {
	d = d.Truncate(time.Minute)
	if hours := d.Truncate(time.Hour); hours > 0 && hours < d && d < 24*time.Hour {
		return age(hours) + " " + age(d-hours)
	}
	return age(d)
}

// clock writes a time to come for people: without the date on the same day, in the time zone of the host, where its
// people are.
func clock(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04")
	}
	return at.Format("15:04 on 2 January")
}

// about writes an estimated time, no more exact than it can be.
func about(d time.Duration) string {
	switch {
	case d < 10*time.Minute:
		return "ten minutes or less"
	case d < 55*time.Minute:
		return fmt.Sprintf("about %d minutes", int(d.Round(10*time.Minute)/time.Minute))
	case d < 90*time.Minute:
		return "about an hour"
	case d < 48*time.Hour:
		return fmt.Sprintf("about %d hours", int(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("about %d days", int(d.Round(24*time.Hour)/(24*time.Hour)))
}
