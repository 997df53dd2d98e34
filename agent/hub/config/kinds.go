package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/settings"
)

func quote(s string) string { return strconv.Quote(s) }

// quoteText is quote for types that are texts.
func quoteText[T fmt.Stringer](t T) string { return quote(t.String()) }

func filled(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty")
	}
	return settings.Plain(s)
}

var (
	text   = settings.OfText(`text, such as "gifford-hub"`, filled, quote)
	texts  = settings.ListOf(`a list of texts, such as ["a", "b"]`, text)
	user   = settings.OfText("a user name", ident.ParseUser, quoteText[ident.User])
	users  = settings.ListOf(`a list of user names, such as ["alice", "bob"]`, user)
	groups = settings.ListOf(`a list of Unix groups, such as ["cgs"]`,
		settings.OfText("a Unix group", ident.ParseGroup, quote))
	prefixes = settings.ListOf(`a list of addresses or networks, such as ["127.0.0.1", "10.0.0.0/8"]`,
		settings.OfText("an address or network", parsePrefix, quoteText[netip.Prefix]))
	hostNames = settings.ListOf(`a list of host names or addresses, such as ["hub.example.org"]`,
		settings.OfText("a host name or address", parseHost, quote))
	basePath = settings.OfText(`a path that begins with a slash, such as "/" or "/jupyter/"`, parseBasePath,
		quote)
	webURL = settings.OfText(`an absolute http or https URL, such as "https://hub.example.org/"`, parseURL,
		quote)
	path    = settings.OfText(`an absolute path, such as "/etc/gifford-hub/file"`, parsePath, quote)
	pattern = settings.OfText(`a regular expression with a group, such as '^(.+)@example\.org$'`, parsePattern,
		quote)
	duration       = settings.OfText(`a time above zero, such as "30s", "5m" or "24h"`, parseDuration, showDuration)
	durationOrZero = settings.OfText(`a time, such as "12h", or "0s" for never`, parseDurationOrZero, showDuration)
	level          = settings.OfText(`"debug", "info", "warn" or "error"`, parseLevel,
		func(l slog.Level) string { return quote(strings.ToLower(l.String())) })
	boolean      = settings.Bool()
	optionalBool = settings.Kind[*bool]{Name: "true or false",
		Read: readOptionalBool, Show: showOptionalBool}
	percent   = settings.Whole[int]("a whole number of percent, such as 5, or 0", 0, maxPercent)
	anonymous = settings.Whole[int]("a whole number up to 65536, or 0", 0, 1<<16)
	port      = settings.Whole[int]("a port from 0 to 65535", 0, 65535)
	count     = settings.Kind[int]{Name: "true, false or a number",
		Read: readCount, Show: showCount}
	cullGroups = settings.Kind[map[string]CullGroup]{Name: `a section for each group, such as { ` +
		`staff = { idle = "8h" } }`,
		Read: readCullGroups, Show: showCullGroups}
	userMap = settings.Kind[map[string]ident.User]{Name: `a table of names, such as { haoyangz = "zeng" }`,
		Read: readUserMap, Show: showUserMap}
)
