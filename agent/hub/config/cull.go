package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// readCullGroups reads the sections [cull.group.NAME]. It is as strict as the table of settings.
func readCullGroups(v any) (map[string]CullGroup, error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, settings.ErrType
	}
	groups := make(map[string]CullGroup, len(table))
	for _, name := range slices.Sorted(maps.Keys(table)) {
		g, err := readCullGroup(name, table[name])
		if err != nil {
			return nil, err
		}
		groups[name] = g
	}
	return groups, nil
}

func readCullGroup(name string, v any) (g CullGroup, err error) {
	if _, err := ident.ParseGroup(name); err != nil {
		return g, &settings.Below{Key: settings.QuoteKey(name), Err: err}
	}
	table, ok := v.(map[string]any)
	if !ok {
		return g, &settings.Below{Key: settings.QuoteKey(name),
			Err: fmt.Errorf("expected a section, found %s", settings.TypeName(v))}
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if err := g.set(key, table[key]); err != nil {
			return g, &settings.Below{Key: settings.QuoteKey(name) + "." + settings.QuoteKey(key), Err: err}
		}
	}
	return g, nil
}

// set reads one key of a group.
func (g *CullGroup) set(key string, v any) (err error) {
	switch expected := durationOrZero.Name; key {
	case "idle":
		g.Idle, err = readOptional(durationOrZero, v)
		return inGroup(expected, v, err)
	case "max_age":
		g.MaxAge, err = readOptional(durationOrZero, v)
		return inGroup(expected, v, err)
	case "gpu_idle":
		g.GPUIdle, err = readOptional(durationOrZero, v)
		return inGroup(expected, v, err)
	case "exempt":
		g.Exempt, err = boolean.Read(v)
		return inGroup(boolean.Name, v, err)
	}
	return errors.New("unknown key; a group has idle, max_age, gpu_idle and exempt")
}

func readOptional[T any](k settings.Kind[T], v any) (*T, error) {
	t, err := k.Read(v)
	return &t, err
}

// inGroup says what was expected.
func inGroup(name string, v any, err error) error {
	if err == nil {
		return nil
	}
	return errors.New(settings.Expected(name, v, err))
}

func showCullGroups(groups map[string]CullGroup) string {
	var shown []string
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		shown = append(shown, settings.QuoteKey(name)+" = "+groups[name].show())
	}
	if shown == nil {
		return "{}"
	}
	return "{ " + strings.Join(shown, ", ") + " }"
}

func (g CullGroup) show() string {
	var shown []string
	add := func(key string, d *time.Duration) {
		if d != nil {
			shown = append(shown, key+" = "+showDuration(*d))
		}
	}
	add("idle", g.Idle)
	add("max_age", g.MaxAge)
	add("gpu_idle", g.GPUIdle)
	if g.Exempt {
		shown = append(shown, "exempt = "+strconv.FormatBool(g.Exempt))
	}
	if shown == nil {
		return "{}"
	}
	return "{ " + strings.Join(shown, ", ") + " }"
}

// shortestIdle returns the shortest time of [cull] and its groups after which a server is idle, and for whom; 0 for
// never.
func (c *Config) shortestIdle() (shortest time.Duration, who string) {
	shortest = c.Cull.Idle
	for _, name := range slices.Sorted(maps.Keys(c.Cull.Groups)) {
		if d := c.Cull.Groups[name].Idle; d != nil && *d > 0 && (shortest == 0 || *d < shortest) {
			shortest, who = *d, " of group "+name
		}
	}
	return shortest, who
}

// neverCulls reports whether no server would ever be stopped.
func (c *Config) neverCulls() bool {
	if c.Cull.Idle > 0 || c.Cull.MaxAge > 0 {
		return false
	}
	for _, g := range c.Cull.Groups {
		if g.Idle != nil && *g.Idle > 0 || g.MaxAge != nil && *g.MaxAge > 0 {
			return false
		}
	}
	return c.shortestGPUIdle().after == 0
}

// The values of cull.gpu_action.
const (
	GPURestart = "restart"
	GPUStop    = "stop"
)

// limit is a time and a text for whom it holds. The text follows the key: "" or " of group x".
type limit struct {
	after time.Duration
	who   string
}

// shortestGPUIdle returns the shortest time of [cull] and its groups after which a server releases an unused GPU; 0 for
// never.
func (c *Config) shortestGPUIdle() limit {
	shortest := limit{after: c.Cull.GPUIdle}
	for _, name := range slices.Sorted(maps.Keys(c.Cull.Groups)) {
		if d := c.Cull.Groups[name].GPUIdle; d != nil && *d > 0 && (shortest.after == 0 || *d < shortest.after) {
			shortest = limit{*d, " of group " + name}
		}
	}
	return shortest
}

// gpuIdleTrouble returns why servers would never release a GPU, or would do so at once.
func (c *Config) gpuIdleTrouble() string {
	shortest := c.shortestGPUIdle()
	switch {
	case shortest.after == 0 || !c.Cull.Enabled:
		return ""
	case c.Cull.BusyGPU == 0:
		return "contradicts gpu_busy = 0, which turns off the measuring of GPUs"
	case c.Cull.Notice >= shortest.after:
		return "not longer than notice" + shortest.who + ", so that the end would always be announced"
	case shortest.after < shortestGPUIdle:
		return "shorter than 1m" + shortest.who + ", which is less than any pause in work"
	}
	return ""
}

// shortestGPUIdle bounds cull.gpu_idle: the use of a GPU is measured every 10 seconds.
const shortestGPUIdle = time.Minute
