package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/settings"
)

// Names in the directory of secrets. In the hub's unit, where the whole directory is one credential of the name "hub",
// they are "hub_NAME" (systemd.exec(5), LoadCredential=).
const (
	oldEnvFile   = "oauth.env"
	clientSecret = "client-secret"
	credential   = "hub_"
)

// secretFile reads a file of secrets. found is false when the file is missing, or when it may not be read outside the
// unit.
func (src Source) secretFile(name string) (data []byte, file string, found bool, err error) {
	switch {
	case src.Credentials != "":
		file = filepath.Join(src.Credentials, credential+name)
	case src.Secrets != "":
		file = filepath.Join(src.Secrets, name)
	default:
		return nil, "", false, nil
	}
	data, err = readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, file, false, nil
	}
	return data, file, err == nil, err
}

// oldVariables returns the variables of the old env file and those of the environment that the file does not set, each
// with its source.
func (src Source) oldVariables() (values, origin map[string]string, problems settings.Problems, err error) {
	values, origin = map[string]string{}, map[string]string{}
	data, file, found, err := src.secretFile(oldEnvFile)
	if err != nil {
		return nil, nil, nil, err
	}
	if found {
		values, problems = ParseEnvFile(file, data, src.Lookup)
	}
	for _, name := range []string{envCallbackURL, envClientID, envClientSecret} {
		if values[name] != "" {
			origin[name] = file
		} else if v, ok := src.Lookup(name); ok && v != "" {
			values[name], origin[name] = v, "$"+name
		} else {
			delete(values, name)
		}
	}
	return values, origin, problems, nil
}

// secret finds the client's secret: the file of the settings, the credential, the old variable, in this order.
func (c *Config) secret(src Source, variables, origin map[string]string) error {
	const key = "login.client_secret"
	if file := c.Login.ClientSecretFile; file != "" {
		data, err := readFile(file)
		if err != nil {
			return err
		}
		c.setSecret(data, file)
		return nil
	}
	data, file, found, err := src.secretFile(clientSecret)
	if err != nil {
		return err
	}
	if found {
		c.setSecret(data, file)
	} else if v := variables[envClientSecret]; v != "" {
		c.Login.ClientSecret = NewSecret(v)
		c.origins[key] = Origin{File: origin[envClientSecret]}
	}
	return nil
}

// setSecret sets the secret to a file's content without the line end that editors add.
func (c *Config) setSecret(data []byte, file string) {
	c.Login.ClientSecret = NewSecret(strings.TrimRight(string(data), "\r\n"))
	c.origins["login.client_secret"] = Origin{File: file}
}
