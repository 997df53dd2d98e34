package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// fake is the journal: it keeps what was written or refuses it.
type fake struct {
	message string
	level   slog.Level
	fields  map[string]string
	refuse  error
}

func (f *fake) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (f *fake) WithAttrs([]slog.Attr) slog.Handler               { panic("attributes are flattened before") }
func (f *fake) WithGroup(string) slog.Handler                    { panic("groups are flattened before") }
func (f *fake) Handle(_ context.Context, r slog.Record) error {
	if f.refuse != nil {
		return f.refuse
	}
	f.message, f.level, f.fields = r.Message, r.Level, map[string]string{}
	r.Attrs(func(a slog.Attr) bool { f.fields[a.Key] = a.Value.String(); return true })
	return nil
}

func TestHandlerWritesFieldsAndMessage(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		log     func(*slog.Logger)
		message string
		fields  map[string]string
	}{
		"no fields": {func(l *slog.Logger) { l.Info("started") }, "started", map[string]string{}},
		"fixed keys": {
			func(l *slog.Logger) {
				l.Info("server started", "event", "server-started", "user", "ada", "server", "gpu",
					"unit", "jupyter-ada.service", "request", "r1", "error", errors.New("no room"))
			},
			`server started user=ada server=gpu unit=jupyter-ada.service error="no room"`,
			map[string]string{
				"EVENT": "server-started", "JUPYTER_USER": "ada", "JUPYTER_SERVER": "gpu",
				"JUPYTER_UNIT": "jupyter-ada.service", "REQUEST_ID": "r1", "ERROR": "no room",
			},
		},
		"groups": {
			func(l *slog.Logger) {
				l.With("user", "ada").WithGroup("http").With("status", 200).
					Info("done", slog.Group("client", "user", "x"), slog.Group("", "inlined", true), slog.Group("none"))
			},
			"done user=ada http.status=200 http.client.user=x http.inlined=true",
			map[string]string{
				"JUPYTER_USER": "ada", "HTTP_STATUS": "200", "HTTP_CLIENT_USER": "x", "HTTP_INLINED": "true",
			},
		},
		"values": {
			func(l *slog.Logger) {
				l.Info("v", "took", 1500*time.Millisecond, "at", when, "empty", "", "lines", "a\nb=c")
			},
			`v took=1.5s at=2026-01-02T03:04:05Z lines="a\nb=c"`,
			map[string]string{"TOOK": "1.5s", "AT": "2026-01-02T03:04:05Z", "EMPTY": "", "LINES": "a\nb=c"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			journal := &fake{}
			tc.log(slog.New(newHandler(journal, slog.DiscardHandler)))
			if diff := cmp.Diff(tc.message, journal.message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.fields, journal.fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSiblingLoggersDoNotShareFields(t *testing.T) {
	journal := &fake{}
	base := slog.New(newHandler(journal, slog.DiscardHandler)).With("a", 1, "b", 2, "c", 3)
	first, second := base.With("user", "ada"), base.With("user", "bob")
	second.Info("x")
	first.Info("x")
	if got := journal.fields["JUPYTER_USER"]; got != "ada" {
		t.Errorf("user = %q, want ada", got)
	}
}

func TestLongValueIsCutOnlyInMessage(t *testing.T) {
	journal := &fake{}
	long := strings.Repeat("ä", maxShown+1)
	slog.New(newHandler(journal, slog.DiscardHandler)).Info("m", "output", long)
	if journal.fields["OUTPUT"] != long {
		t.Error("the field was cut")
	}
	if utf8.RuneCountInString(journal.message) > maxShown+20 || strings.ContainsRune(journal.message, '\uFFFD') {
		t.Errorf("message = %q", journal.message)
	}
}

func TestRefusedEntryGoesToStderr(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newHandler(&fake{refuse: errors.New("away")}, textHandler(&out, slog.LevelInfo)))
	log.With("user", "ada").WithGroup("http").Info("kept", "status", 500)
	if got := out.String(); !strings.Contains(got, "msg=kept user=ada http.status=500") {
		t.Errorf("stderr = %q", got)
	}
}

func TestFieldName(t *testing.T) {
	tests := map[string]struct {
		path []string
		want string
	}{
		"plain":            {[]string{"bytes"}, "BYTES"},
		"camel and dash":   {[]string{"idleTime-s"}, "IDLETIME_S"},
		"leading _":        {[]string{"__pid"}, "PID"},
		"leading digit":    {[]string{"5xx"}, "FIELD_5XX"},
		"nothing left":     {[]string{"ä"}, "FIELD_"},
		"empty":            {[]string{""}, "FIELD_"},
		"message":          {[]string{"message"}, "FIELD_MESSAGE"},
		"identifier":       {[]string{"syslog", "identifier"}, "FIELD_SYSLOG_IDENTIFIER"},
		"user in group":    {[]string{"http", "user"}, "HTTP_USER"},
		"unit not literal": {[]string{"Unit"}, "FIELD_UNIT"},
		"long":             {[]string{strings.Repeat("a", 80)}, strings.Repeat("A", 64)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fieldName(tc.path); got != tc.want {
				t.Errorf("fieldName(%q) = %q, want %q", tc.path, got, tc.want)
			}
		})
	}
}

func FuzzFieldName(f *testing.F) {
	f.Add("user")
	f.Add("_5 ä\n=")
	valid := regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	f.Fuzz(func(t *testing.T, key string) {
		if got := fieldName([]string{key}); !valid.MatchString(got) {
			t.Errorf("fieldName(%q) = %q", key, got)
		}
	})
}

func TestConnected(t *testing.T) {
	file := stderr(t)
	tests := map[string]struct {
		stream string
		want   bool
	}{
		"same file":   {stream(t, file), true},
		"other inode": {stream(t, file) + "1", false},
		"unset":       {"", false},
		"one number":  {"12", false},
		"not numbers": {"a:b", false},
		"negative":    {"-1:2", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := connected(tc.stream, file); got != tc.want {
				t.Errorf("connected(%q) = %t, want %t", tc.stream, got, tc.want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	t.Run("text", func(t *testing.T) {
		t.Setenv("JOURNAL_STREAM", "1:2")
		t.Setenv("DEBUG_INVOCATION", "")
		file := stderr(t)
		log, err := New(Config{Level: slog.LevelWarn, Stderr: file})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hidden")
		log.Warn("shown", "user", "ada")
		got, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(got), "msg=shown user=ada") || strings.Contains(string(got), "hidden") {
			t.Errorf("stderr = %q", got)
		}
	})
	t.Run("journal", func(t *testing.T) {
		file := stderr(t)
		t.Setenv("JOURNAL_STREAM", stream(t, file))
		log, err := New(Config{Stderr: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := log.Handler().(*handler); !ok {
			t.Errorf("handler = %T, want the journal's", log.Handler())
		}
	})
	t.Run("debug invocation", func(t *testing.T) {
		t.Setenv("DEBUG_INVOCATION", "1")
		log, err := New(Config{Level: slog.LevelInfo, Stderr: stderr(t)})
		if err != nil {
			t.Fatal(err)
		}
		if !log.Enabled(t.Context(), slog.LevelDebug) {
			t.Error("debug is off")
		}
	})
}

func stderr(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func stream(t *testing.T, file *os.File) string {
	t.Helper()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
