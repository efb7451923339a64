package recipe

import (
	"math"
	"strconv"
	"time"

	"github.com/palate-dev/palate/internal/schema"
)

// The abilities that groups of recipes have in common.
const (
	personal = RealTime | LiveEvents | Context
	popular  = RealTime | MetadataOptIn | Promotions
	related  = RealTime | Promotions | CurrentItem
)

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// Catalogue holds every recipe and use case that can be described, sorted by name. It never changes.
var Catalogue = []Entry{
	useCase(Entry{
		Name: "aws-ecomm-customers-who-viewed-x-also-viewed", Type: RelatedItems, Domain: schema.Ecommerce,
		Description: "Items that customers also viewed when they viewed a given item.",
		Trainable:   true, TrainedAs: "aws-sims",
		Can: related | MetadataOptIn, EventType: "View", NeedsUser: true, NeedsItem: true, Excludes: "Purchase",
	}),
	useCase(Entry{
		Name: "aws-ecomm-frequently-bought-together", Type: RelatedItems, Domain: schema.Ecommerce,
		Description: "Items that customers buy together with a given item.",
		Trainable:   true, TrainedAs: "aws-sims",
		Can: related | MetadataOptIn, EventType: "Purchase", NeedsItem: true,
	}),
	useCase(Entry{
		Name: "aws-ecomm-popular-items-by-purchases", Type: PopularItems, Domain: schema.Ecommerce,
		Description: "Items in order of the number of their purchases.",
		Trainable:   true, TrainedAs: "aws-popularity-count", CountEvents: true,
		Can: popular, EventType: "Purchase", NeedsUser: true,
	}),
	useCase(Entry{
		Name: "aws-ecomm-popular-items-by-views", Type: PopularItems, Domain: schema.Ecommerce,
		Description: "Items in order of the number of their views.",
		Trainable:   true, TrainedAs: "aws-popularity-count", CountEvents: true,
		Can: popular, EventType: "View", NeedsUser: true,
	}),
	useCase(Entry{
		Name: "aws-ecomm-recommended-for-you", Type: UserPersonalization, Domain: schema.Ecommerce,
		Description: "Items for a user by what the user did, without those already purchased.",
		Trainable:   true, TrainedAs: "aws-user-personalization",
		Can:       personal | AutomaticUpdates | Exploration | Impressions | MetadataOptIn | Promotions,
		NeedsUser: true, Reads: metadata(), Excludes: "Purchase", Params: exploration(),
	}),
	{
		Name: "aws-item-affinity", Type: UserSegmentation,
		Algorithm: "aws-item-affinity", FeatureTransformation: "item-affinity",
		Description: "Users in order of the probability that they interact with an item.",
		Created:     day(2021, time.July, 15), Updated: updated, Trainable: true, TrainedAs: "aws-item-affinity",
		Can: BatchSegment, Requires: interactions(), Reads: metadata(), Params: []Param{dimension(false)},
	},
	{
		Name: "aws-item-attribute-affinity", Type: UserSegmentation,
		Algorithm: "aws-item-attribute-affinity", FeatureTransformation: "item-attribute-affinity",
		Description: "Users in order of the probability that they interact with items of certain attributes.",
		Created:     day(2021, time.August, 25), Updated: updated, Trainable: true, TrainedAs: "aws-item-attribute-affinity",
		Can: BatchSegment, Requires: []schema.Type{schema.Interactions, schema.Items}, Reads: metadata(), Params: []Param{dimension(false)},
	},
	{
		Name: "aws-next-best-action", Type: PersonalizedActions,
		Algorithm: "aws-next-best-action", FeatureTransformation: "aws-next-best-action",
		Description: "Actions in order of the probability that a user takes them.",
		Created:     day(2023, time.August, 11), Updated: updated, Trainable: true, TrainedAs: "aws-next-best-action",
		Can:      RealTime | LiveEvents | AutomaticUpdates | Exploration | Scores,
		Requires: []schema.Type{schema.Actions, schema.Interactions}, NeedsUser: true,
		Reads: []schema.Type{schema.Items, schema.Users, schema.Actions, schema.ActionInteractions},
		Params: append(exploration(), Param{
			Name: "action_optimization_period", Kind: FeatureParam, Type: Integer, Default: "14", Min: 7, Max: 28,
		}),
	},
	{
		Name: "aws-personalized-ranking", Type: PersonalizedRanking,
		Algorithm: "aws-personalized-ranking", FeatureTransformation: "JSON-percentile-filtering",
		Description: "A given list of items in the order of a user's interest.",
		Trainable:   true, TrainedAs: "aws-user-personalization",
		Created: original, Updated: updated,
		Can:      personal | Scores | MetadataOptIn | Objective | HPO | BatchInference,
		Requires: interactions(), Reads: metadata(), NeedsUser: true, Params: recurrent(),
	},
	{
		Name: "aws-personalized-ranking-v2", Type: PersonalizedRanking,
		Algorithm: "aws-personalized-ranking-v2", FeatureTransformation: "aws-personalized-ranking-v2",
		Description: "A given list of items in the order of a user's interest, second generation.",
		Trainable:   true, TrainedAs: "aws-user-personalization-v2",
		Created: day(2024, time.January, 1), Updated: updated,
		Can:      personal | Scores | MetadataAlways | EventWeights | BatchInference | AutomaticHPO,
		Requires: interactions(), Reads: metadata(), NeedsUser: true, Params: recencyBias(),
	},
	{
		// The overview of the guide files it under POPULAR_ITEMS; the recipe's own page, and so DescribeRecipe, says USER_PERSONALIZATION.
		Name: "aws-popularity-count", Type: UserPersonalization,
		Algorithm: "aws-popularity-count", FeatureTransformation: "sims",
		Description: "Items in order of the number of users who interacted with them; the same list for everyone.",
		Created:     original, Updated: updated, Trainable: true, TrainedAs: "aws-popularity-count",
		Can: popular | BatchInference, Requires: interactions(),
	},
	{
		Name: "aws-semantic-similarity", Type: RelatedItems,
		Algorithm: "aws-semantic-similarity", FeatureTransformation: "aws-semantic-similarity",
		Description: "Items whose name and description mean something similar to those of a given item.",
		Trainable:   true, TrainedAs: "aws-semantic-similarity",
		Created: day(2025, time.January, 15), Updated: updated,
		Can:      related | MetadataAlways | BatchInference | RankingInfluence | IncrementalUpdate,
		Requires: []schema.Type{schema.Items}, Reads: []schema.Type{schema.Items}, NeedsItem: true,
	},
	{
		Name: "aws-similar-items", Type: RelatedItems,
		Algorithm: "aws-similar-items", FeatureTransformation: "aws-similar-items",
		Description: "Items similar to a given item by interactions and metadata.",
		Trainable:   true, TrainedAs: "aws-similar-items",
		Created: original, Updated: updated,
		Can:      related | MetadataOptIn | HPO | BatchInference | Themes,
		Requires: interactions(), Reads: []schema.Type{schema.Items}, NeedsItem: true,
		Params: []Param{
			{Name: "item_id_hidden_dim", Type: Integer, Default: "100", Min: 30, Max: 200, Tunable: true, Group: "training"},
			{Name: "item_metadata_hidden_dim", Type: Integer, Default: "100", Min: 30, Max: 200, Tunable: true, Group: "training"},
		},
	},
	{
		Name: "aws-sims", Type: RelatedItems,
		Algorithm: "aws-sims", FeatureTransformation: "sims",
		Description: "Items similar to a given item by the users they have in common.",
		Trainable:   true, TrainedAs: "aws-sims",
		Created: original, Updated: updated,
		Can:      related | MetadataOptIn | HPO | BatchInference,
		Requires: interactions(), NeedsItem: true,
		Params: append([]Param{
			{Name: "popularity_discount_factor", Type: Continuous, Default: "0.5", Max: 1, Tunable: true, Group: "training"},
			{Name: "min_cointeraction_count", Type: Integer, Default: "3", Max: 10, Tunable: true, Group: "training"},
		},
			fraction(shortestHistory, "0.005"), fraction(longestHistory, "0.995"),
			fraction("min_item_interaction_count_percentile", "0.01"), fraction("max_item_interaction_count_percentile", "0.9")),
	},
	{
		Name: "aws-trending-now", Type: PopularItems,
		Algorithm: "aws-trending-now-custom", FeatureTransformation: "aws-trending-now",
		Description: "Items in order of the growth of their interactions.",
		Created:     day(2022, time.November, 15), Updated: updated, Trainable: true, TrainedAs: "aws-trending-now",
		Can: popular, Requires: interactions(),
		Params: []Param{{
			Name: trendFrequency, Kind: FeatureParam, Type: Categorical, Default: "3 hours",
			Values: []string{"30 minutes", "1 hour", "3 hours", "1 day"},
		}},
	},
	{
		Name: "aws-user-personalization", Type: UserPersonalization,
		Algorithm: "aws-user-personalization", FeatureTransformation: "aws-user-personalization",
		Description: "Items for a user by what the user did, with exploration of new items.",
		Created:     original, Updated: updated, Trainable: true, TrainedAs: "aws-user-personalization",
		Can: personal | AutomaticUpdates | Exploration | Impressions | Scores | MetadataOptIn | Objective | UpdateTraining | Promotions |
			HPO | BatchInference,
		Requires: interactions(), Reads: metadata(), NeedsUser: true, Params: append(recurrent(), exploration()...),
	},
	{
		Name: "aws-user-personalization-v2", Type: UserPersonalization,
		Algorithm: "aws-user-personalization-v2", FeatureTransformation: "aws-user-personalization-v2",
		Description: "Items for a user by what the user did, second generation.",
		Created:     day(2024, time.January, 1), Updated: updated, Trainable: true, TrainedAs: "aws-user-personalization-v2",
		Can:      personal | AutomaticUpdates | Scores | MetadataAlways | EventWeights | Promotions | BatchInference | AutomaticHPO,
		Requires: interactions(), Reads: metadata(), NeedsUser: true, Params: recencyBias(),
	},
	useCase(Entry{
		Name: "aws-vod-because-you-watched-x", Type: RelatedItems, Domain: schema.VideoOnDemand,
		Description: "Videos to watch after a given video.",
		Trainable:   true, TrainedAs: "aws-sims",
		Can: related | MetadataOptIn, EventType: "Watch", NeedsUser: true, NeedsItem: true, Excludes: "Watch",
	}),
	useCase(Entry{
		Name: "aws-vod-more-like-x", Type: RelatedItems, Domain: schema.VideoOnDemand,
		Description: "Videos similar to a given video.",
		Trainable:   true, TrainedAs: "aws-similar-items",
		Can: related | MetadataOptIn, Requires: []schema.Type{schema.Interactions, schema.Items}, Reads: []schema.Type{schema.Items},
		NeedsUser: true, NeedsItem: true, Excludes: "Watch",
	}),
	useCase(Entry{
		Name: "aws-vod-most-popular", Type: PopularItems, Domain: schema.VideoOnDemand,
		Description: "Videos in order of the number of users who watched them.",
		Trainable:   true, TrainedAs: "aws-popularity-count",
		Can: popular, EventType: "Watch", NeedsUser: true,
	}),
	useCase(Entry{
		Name: "aws-vod-top-picks", Type: UserPersonalization, Domain: schema.VideoOnDemand,
		Description: "Videos for a user by what the user did, without those already watched.",
		Trainable:   true, TrainedAs: "aws-user-personalization",
		Can:       personal | AutomaticUpdates | Exploration | Impressions | MetadataOptIn | Promotions,
		NeedsUser: true, Reads: metadata(), Excludes: "Watch", Params: exploration(),
	}),
	useCase(Entry{
		Name: "aws-vod-trending-now", Type: PopularItems, Domain: schema.VideoOnDemand,
		Description: "Videos in order of the growth of their popularity.",
		Trainable:   true, TrainedAs: "aws-trending-now", Fixed: map[string]string{trendFrequency: "2 hours"},
		Can: RealTime | MetadataOptIn,
	}),
}

// original is the day of the first recipes; updated is after the newest of them, as no recipe was created after its last update.
var (
	original = day(2019, time.June, 10)
	updated  = day(2025, time.June, 1)
)

// useCase fills in what all domain use cases have in common.
func useCase(e Entry) Entry {
	e.Algorithm, e.FeatureTransformation = e.Name, e.Name
	e.Created, e.Updated = original, updated
	if e.Requires == nil {
		e.Requires = interactions()
	}
	return e
}

func interactions() []schema.Type { return []schema.Type{schema.Interactions} }

func metadata() []schema.Type { return []schema.Type{schema.Items, schema.Users} }

func exploration() []Param {
	return []Param{
		{Name: "explorationWeight", Kind: ExplorationParam, Type: Continuous, Default: "0.3", Max: 1},
		{Name: "explorationItemAgeCutOff", Kind: ExplorationParam, Type: Continuous, Default: "30", Min: 1, Max: math.Inf(1)},
	}
}

func recurrent() []Param {
	return []Param{
		dimension(true),
		{Name: "bptt", Type: Integer, Default: "32", Min: 2, Max: 32, Tunable: true, Group: "training"},
		{Name: "recency_mask", Type: Categorical, Default: "true", Values: []string{"true", "false"}, Tunable: true, Group: "data"},
		fraction(shortestHistory, "0.0"), fraction(longestHistory, "0.99"),
	}
}

func recencyBias() []Param {
	return []Param{{Name: "apply_recency_bias", Type: Categorical, Default: "true", Values: []string{"true", "false"}, Group: "data", Automatic: true}}
}

// dimensionDefault is the default of hidden_dimension.
const dimensionDefault = 149

func dimension(tunable bool) Param {
	return Param{Name: "hidden_dimension", Type: Integer, Default: strconv.Itoa(dimensionDefault), Min: 32, Max: 256, Tunable: tunable, Group: "training"}
}

func fraction(name, standard string) Param {
	return Param{Name: name, Kind: FeatureParam, Type: Continuous, Default: standard, Max: 1}
}
