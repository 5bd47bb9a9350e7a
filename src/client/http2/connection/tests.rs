//! What ends one connection ends no other.

use super::*;
use crate::net::{Deadlines, Engine, run_on};

#[test]
fn a_panic_ends_one_connection_and_is_told() {
    run_on(&[Engine::Epoll], 16, |_| async {
        let panics = Rc::new(Cell::new(0));
        let counted = panics.clone();
        let connections = Connections::new(move || counted.set(counted.get() + 1));
        let settings = Settings {
            streams: 1,
            stream_window: 65_535,
            connection_window: 65_535,
            write: Duration::ZERO,
            pace: None,
            limits: Limits::default(),
        };
        let (link, _far) = pipe(1000);
        let timer = Rc::<Deadlines>::default().timer(&link);
        let key = Key { upstream: 0, slot: 0, generation: 0 };
        let lane = connections.lane(key, settings, || panic!("on purpose"), || {}, async { Ok((link, timer)) });
        assert_eq!(lane.await.map(|_| ()).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!((panics.get(), connections.all.borrow().len()), (1, 0));
    })
    .unwrap();
}
