use super::*;

fn urls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("http://{name}")).collect()
}

/// Engines that are all well.
fn well(names: &[&str]) -> Arc<Engines> {
    let engines = Engines::of(&urls(names));
    for engine in engines.all() {
        engine.stands(Standing::Well);
    }
    engines
}

fn url_of(seat: Option<&Seat>) -> Option<String> {
    seat.map(|seat| seat.engine().url().to_owned())
}

/// Where requests that end at once go, one after the other.
fn turns(engines: &Engines, count: usize) -> Vec<String> {
    (0..count).filter_map(|_| url_of(engines.choose(&[]).as_ref())).collect()
}

#[test]
fn the_engine_with_the_fewest_requests_is_next_and_equals_take_turns() {
    let engines = well(&["a", "b", "c"]);
    assert_eq!(turns(&engines, 4), urls(&["a", "b", "c", "a"]));
    let seats: Vec<_> = (0..3).map(|_| engines.choose(&[]).unwrap()).collect();
    let all = engines.all();
    assert_eq!(all.iter().map(|engine| engine.in_flight()).collect::<Vec<_>>(), [1, 1, 1]);
    let of_b: Vec<_> = seats.into_iter().filter(|seat| seat.engine().url() == "http://b").collect();
    // `b` has one, the others have none by now.
    assert!(!turns(&engines, 6).contains(&"http://b".to_owned()));
    drop(of_b);
    assert!(turns(&engines, 3).contains(&"http://b".to_owned()));
}

#[test]
fn who_is_ill_or_was_never_asked_gets_nothing_and_who_faltered_comes_last() {
    let engines = well(&["a", "b"]);
    let [a, b] = <[_; 2]>::try_from(engines.all()).unwrap();
    a.failed(None);
    assert_eq!((a.standing(), a.failures()), (Standing::Faltered, 1));
    assert_eq!(turns(&engines, 2), urls(&["b", "b"]));
    b.failed(Some(Ailment::Unreachable));
    assert_eq!(turns(&engines, 2), urls(&["a", "a"]));
    // What is ill does not get better by failing a request.
    b.faltered();
    assert_eq!(b.standing(), Standing::Ill(Ailment::Unreachable));
    a.failed(Some(Ailment::Different));
    // It may only be busy.
    assert_eq!(turns(&engines, 1), urls(&["b"]));
    assert!(!engines.any_well());
    b.stands(Standing::Unasked);
    assert!(engines.choose(&[]).is_none());
    b.stands(Standing::Well);
    assert!(engines.any_well() && !engines.all_well());
    assert!(engines.choose(&[b]).is_none(), "it was tried");
}

#[test]
fn a_single_engine_is_asked_however_it_does() {
    let engines = Engines::of(&urls(&["a"]));
    let a = engines.all().remove(0);
    for standing in [Standing::Unasked, Standing::Ill(Ailment::Different), Standing::Well] {
        a.stands(standing);
        assert!(engines.choose(&[]).is_some(), "{standing:?}");
    }
    assert!(engines.choose(&[a]).is_none(), "it was tried");
}

#[test]
fn who_stays_keeps_what_it_has_and_who_leaves_gets_nothing_new() {
    let engines = well(&["a", "b"]);
    let (first, second) = (engines.choose(&[]).unwrap(), engines.choose(&[]).unwrap());
    assert!(engines.configure(&urls(&["b", "c"])));
    assert!(!engines.configure(&urls(&["b", "c"])));
    let all = engines.all();
    assert_eq!(all.iter().map(|engine| engine.url()).collect::<Vec<_>>(), ["http://b", "http://c"]);
    assert!(Arc::ptr_eq(&all[0], second.engine()) && all[0].in_flight() == 1);
    assert_eq!((all[0].standing(), all[1].standing()), (Standing::Well, Standing::Unasked));
    assert_eq!((first.engine().in_flight(), turns(&engines, 2)), (1, urls(&["b", "b"])));
}

#[test]
fn a_registered_address_stands_for_the_list_that_it_is_in_and_else_for_itself() {
    let engines = well(&["a", "b"]);
    assert!(!engines.register(Some("http://b/")));
    assert!(engines.register(Some("http://c")));
    assert_eq!(engines.all().len(), 1);
    assert!(!engines.configure(&urls(&["b", "d"])), "another service is registered");
    assert!(engines.register(None));
    let all = engines.all();
    assert_eq!(all.iter().map(|engine| engine.url()).collect::<Vec<_>>(), ["http://b", "http://d"]);
}

#[test]
fn taking_out_the_engine_that_is_registered_leaves_the_others_of_the_settings() {
    let engines = well(&["a", "b", "c"]);
    assert!(!engines.register(Some("http://a")));
    assert!(engines.configure(&urls(&["b", "c"])));
    assert!(!engines.register(Some("http://a")), "the chain is read again and again");
    assert_eq!(turns(&engines, 2), urls(&["b", "c"]));
    assert!(engines.configure(&urls(&["b"])));
    assert_eq!(turns(&engines, 1), urls(&["b"]));
    // One of another place is the only one until the settings name it.
    assert!(engines.register(Some("http://x")) && engines.all().len() == 1);
    assert!(engines.configure(&urls(&["b", "x"])));
    assert_eq!(engines.all().len(), 2);
}
