//! The names of the classes of the published data sets.

use super::params::{DataParams, DataSetName};

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The fine labels.
#[rustfmt::skip]
const CIFAR100: [&str; 100] = [
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid",
    "otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf",
    "woman", "worm",
];

impl DataParams {
    /// The names of the classes, in the order of their numbers; `None` for files in a folder of the user's,
    /// which may hold other classes in the format of the set.
    pub fn class_names(&self) -> Option<&'static [&'static str]> {
        let names: &[&str] = match self.set {
            DataSetName::FashionMnistMini | DataSetName::FashionMnist => &FASHION,
            DataSetName::Mnist => &DIGITS,
            DataSetName::Cifar10 => &CIFAR10,
            DataSetName::Cifar100 => &CIFAR100,
        };
        self.dir.is_none().then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_unless_the_files_are_the_user_s() {
        for set in DataSetName::ALL {
            let mut data = DataParams { set, ..DataParams::default() };
            assert_eq!(data.class_names().map(<[_]>::len), Some(data.classes()), "{set:?}");
            data.dir = Some("mine".into());
            assert_eq!(data.class_names(), None);
        }
        // The names of the fine labels of CIFAR-100 are numbered in the order of the alphabet.
        assert!(CIFAR100.is_sorted());
    }
}
