package config

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Disk is the section [disk].
type Disk struct {
	Refresh  time.Duration // 0: never
	WarnFree FreeSpace
	Paths    []string
}

// FreeSpace is an amount of free space: a part of the file system, or bytes.
type FreeSpace struct {
	Percent float64
	Bytes   int64
}

func diskSettings() []Setting {
	return []Setting{
		def("disk.refresh", durationOrZero, func(c *Config) *time.Duration { return &c.Disk.Refresh }, `"24h"`, "",
			"How old the sizes of a user's files may be before they are measured again, which happens for users "+
				"with a server that runs or was used since then, one at a time; \"0s\" means only when `gifford-hub "+
				"disk --refresh` asks."),
		def("disk.warn_free", freeSpace, func(c *Config) *FreeSpace { return &c.Disk.WarnFree }, `"5%"`, `"20G"`,
			"People are warned when less is free: a part of the file system or a size. \"0%\" never warns."),
		def("disk.paths", settings.ListOf(`a list of absolute paths, such as ["/cluster"]`, path),
			func(c *Config) *[]string { return &c.Disk.Paths }, `["/var/lib/gifford-launcher", "/cluster"]`, "",
			"Directories whose file systems are watched, beside those of the homes. A missing one is left "+
				"out."),
	}
}

var freeSpace = settings.OfText(`a part such as "5%" or a size such as "20G"`, parseFreeSpace, showFreeSpace)

// sizeUnits are those of systemd's sizes, as in launcher.toml.
const sizeUnits = "KMGT"

func parseFreeSpace(s string) (FreeSpace, error) {
	if part, ok := strings.CutSuffix(s, "%"); ok {
		p, err := strconv.ParseFloat(part, 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return FreeSpace{}, errors.New("it is not a part from 0% to 100%")
		}
		return FreeSpace{Percent: p}, nil
	}
	factor := int64(1)
	if n := len(s); n > 0 {
		if i := strings.IndexByte(sizeUnits, s[n-1]); i >= 0 {
			factor, s = 1<<(10*(i+1)), s[:n-1]
		}
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < 0 || v > 1<<62/factor {
		return FreeSpace{}, errors.New("it is not a size")
	}
	return FreeSpace{Bytes: v * factor}, nil
}

func showFreeSpace(f FreeSpace) string {
	if f.Bytes == 0 {
		return quote(strconv.FormatFloat(f.Percent, 'f', -1, 64) + "%")
	}
	v, unit := f.Bytes, ""
	for i := 0; i < len(sizeUnits) && v%1024 == 0; i++ {
		v, unit = v/1024, sizeUnits[i:i+1]
	}
	return quote(strconv.FormatInt(v, 10) + unit)
}
