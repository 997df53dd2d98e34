package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/imagestore"
	"github.com/gifford-lab/gifford-hub/agent/policy"
	"github.com/gifford-lab/gifford-hub/agent/root/unit"
	"github.com/gifford-lab/gifford-hub/agent/wire/contract"
	"github.com/gifford-lab/gifford-hub/agent/wire/launcherbus"
)

// Images returns the images of the shared store that servers run on and profiles would start with. A store that cannot
// be read has none: servers have copies of their own then.
func (l *Launcher) Images(ctx context.Context) (launcherbus.ImagesRow, error) {
	running, err := l.List(ctx)
	if err != nil {
		return launcherbus.ImagesRow{}, err
	}
	rules, err := l.policy()
	if err != nil {
		return launcherbus.ImagesRow{}, err
	}
	images := launcherbus.ImagesRow{Servers: []launcherbus.ServerImage{}, Profiles: []launcherbus.ProfileImage{}}
	for _, s := range running {
		key, err := ident.ParseKey(s.User, s.Server)
		if err != nil {
			return launcherbus.ImagesRow{}, err
		}
		if id, ok := l.files.imageOf(key); ok {
			images.Servers = append(images.Servers, launcherbus.ServerImage{User: s.User, Server: s.Server, ID: id})
		}
	}
	if rules.Images.Share {
		images.Profiles = append(images.Profiles, l.profileImages(rules)...)
	}
	return images, nil
}

// profileImages returns the images of the shared store with which profiles would start now.
func (l *Launcher) profileImages(rules *policy.Policy) (all []launcherbus.ProfileImage) {
	store, err := imagestore.Open(l.cfg.Store)
	if err != nil {
		l.cfg.Log.Warn("cannot read the shared images", "event", "images-unreadable", "error", err)
		return nil
	}
	defer store.Close()
	for _, p := range rules.Profiles {
		image, err := store.Find(p.Image)
		if err == nil {
			all = append(all, launcherbus.ProfileImage{Profile: p.Name, ID: image.ID})
		} else if !errors.Is(err, imagestore.ErrNotFound) {
			l.cfg.Log.Warn("cannot find a profile's image", "event", "images-unreadable", "profile", p.Name, "error",
				err)
		}
	}
	return all
}

// writeViewRequest leaves what gifford-view needs to know of a server, for root alone.
func (f files) writeViewRequest(in unit.Input) error {
	data, err := json.Marshal(in.View())
	if err != nil {
		return err
	}
	return replace(f.run, contract.ViewRequestName(in.Key), string(data), 0o600)
}

// imageOf reads the image that gifford-view has noted for a unit.
func (f files) imageOf(key ident.Key) (string, bool) {
	data, err := f.run.ReadFile(path.Join("images", key.Unit()))
	id := strings.TrimSpace(string(data))
	return id, err == nil && imagestore.IsID(id)
}

// openLock makes the file whose lock protects images while a view of them is made. The file is never replaced. Only
// root and the image keeper may open it, since whoever holds the lock delays every start.
func (f files) openLock() error {
	lock, err := f.run.OpenFile("images/lock", os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the lock of the images: %w", err)
	}
	return errors.Join(lock.Chown(0, int(f.imagesGID)), lock.Chmod(0o640), lock.Close())
}
