package tlscert

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watch loads changed files until ctx ends; call it once. It reads them when a file changes, is
// replaced or is a link that gets another target, and also every minute, since not every file
// system reports changes. A pair that cannot be used is logged once, and the current one stays.
func (l *Loader) Watch(ctx context.Context) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		l.cfg.Log.WarnContext(ctx, "cannot watch the certificate files, reading them every minute instead",
			"event", "certificate-watch-failed", "error", err)
		watcher = &fsnotify.Watcher{} // its channels are nil and never ready
	} else {
		defer func() { _ = watcher.Close() }()
	}
	l.loop(ctx, watcher, err == nil)
}

func (l *Loader) loop(ctx context.Context, watcher *fsnotify.Watcher, works bool) {
	recheck, remind := time.NewTicker(l.timing.recheck), time.NewTicker(l.timing.remind)
	defer recheck.Stop()
	defer remind.Stop()
	debounced := time.NewTimer(0) // files may have changed since Open
	defer debounced.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Events:
			debounced.Reset(l.timing.debounce)
			continue
		case <-watcher.Errors: // events were lost: read now
		case <-debounced.C:
		case <-recheck.C:
		case <-remind.C:
			l.warn(ctx)
			continue
		}
		if works {
			follow(watcher, l.cfg.files())
		}
		l.reload(ctx)
	}
}

// follow makes watcher watch the current directories of the files. It watches directories because
// replacing a file by renaming ends the watch on the file. A directory that cannot be watched is
// covered by the reads every minute.
func follow(watcher *fsnotify.Watcher, files []string) {
	want := directories(files)
	for _, directory := range watcher.WatchList() {
		if !want[directory] {
			_ = watcher.Remove(directory)
		}
	}
	for _, directory := range slices.Sorted(maps.Keys(want)) {
		_ = watcher.Add(directory)
	}
}

// directories returns the directory of each file and of the file that its links lead
// to: certbot's live/NAME/fullchain.pem is a link into archive/NAME, and other
// tools swap a link to the directory.
func directories(files []string) map[string]bool {
	out := map[string]bool{}
	for _, file := range files {
		out[filepath.Dir(file)] = true
		out[filepath.Dir(filepath.Dir(file))] = true
		if target, err := filepath.EvalSymlinks(file); err == nil {
			out[filepath.Dir(target)] = true
		}
	}
	return out
}

// reload reads the files and serves them if they changed.
func (l *Loader) reload(ctx context.Context) {
	pair, sum, err := l.read()
	if err != nil {
		if l.said != err.Error() {
			l.said = err.Error()
			_, until := l.Info()
			l.cfg.Log.ErrorContext(ctx, "new certificate rejected, the old one stays in use",
				"event", "certificate-rejected", "valid_until", until, "error", err)
		}
		return
	}
	l.said = ""
	if sum == l.seen {
		return
	}
	l.seen = sum
	l.accept(ctx, pair)
}

// accept serves pair from now on.
func (l *Loader) accept(ctx context.Context, pair *tls.Certificate) {
	l.current.Store(pair)
	names, until := l.Info()
	l.cfg.Log.InfoContext(ctx, "certificate loaded", "event", "certificate-loaded",
		"names", strings.Join(names, ","), "valid_until", until, "certificates", len(pair.Certificate))
	l.warn(ctx)
}

// warn logs that clients refuse the certificate, or will soon.
func (l *Loader) warn(ctx context.Context) {
	leaf, now := l.current.Load().Leaf, time.Now()
	log := l.cfg.Log.With(slog.String("file", l.cfg.Certificate))
	switch {
	case now.After(leaf.NotAfter):
		log.WarnContext(ctx, "certificate has expired, browsers refuse it; renew it",
			"event", "certificate-expiring", "valid_until", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		log.WarnContext(ctx, "certificate is not valid yet, browsers refuse it; check the clock",
			"event", "certificate-early", "valid_from", leaf.NotBefore)
	case leaf.NotAfter.Sub(now) < warnBefore:
		log.WarnContext(ctx, "certificate expires soon; check that its renewal works",
			"event", "certificate-expiring", "valid_until", leaf.NotAfter,
			"days", int(leaf.NotAfter.Sub(now)/(24*time.Hour)))
	}
}
