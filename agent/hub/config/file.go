package config

import (
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// apply reads one TOML file into c and returns all its problems. Values of the file replace those of earlier files;
// lists and tables are replaced as a whole.
func apply(c *Config, file string, data []byte) settings.Problems {
	read := table().Read(c, file, data)
	for _, key := range read.Keys {
		c.origins[key] = Origin{file, read.Lines.Of(key)}
	}
	for _, key := range read.Entries {
		if _, ok := c.origins[key]; !ok {
			c.origins[key] = Origin{file, read.Lines.Of(key)}
		}
	}
	return read.Problems
}
