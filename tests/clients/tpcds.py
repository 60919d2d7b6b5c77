"""The 24 tables of TPC-DS, small, with rows of our own: keys join, and what the standard queries ask for occurs.

Names and types are those of the TPC-DS specification, with MaxCompute's types. The rows are not those of its generator:
they are made here from a seed, one row at a time, the same on every machine.
"""

import datetime
import math
import random
from decimal import Decimal

# One with which every query has rows; with some others a few have none.
SEED = 20260537
FIRST, LAST = datetime.date(1998, 1, 1), datetime.date(2003, 12, 31)
# The key of a day is its Julian day number.
KEY_OF_FIRST = 2450815
KINDS = {"b": "bigint", "s": "string", "d": "date", "m": "decimal(7,2)", "p": "decimal(5,2)", "l": "decimal(15,2)"}

# Columns with a letter for their type; keys (`_sk`) are whole numbers without one, and so is what has no letter else.
_ADDRESS = "{0}_street_number:s {0}_street_name:s {0}_street_type:s {0}_suite_number:s {0}_city:s {0}_county:s {0}_state:s "
_ADDRESS += "{0}_zip:s {0}_country:s {0}_gmt_offset:p"
_SALES = "{0}_quantity {0}_wholesale_cost:m {0}_list_price:m {0}_sales_price:m {0}_ext_discount_amt:m "
_SALES += "{0}_ext_sales_price:m {0}_ext_wholesale_cost:m {0}_ext_list_price:m {0}_ext_tax:m {0}_coupon_amt:m "
_SHIPPED = "{0}_ext_ship_cost:m {0}_net_paid:m {0}_net_paid_inc_tax:m {0}_net_paid_inc_ship:m "
_SHIPPED += "{0}_net_paid_inc_ship_tax:m {0}_net_profit:m"
_RETURNS = "{0}_return_quantity {0}_{1}:m {0}_return_tax:m {0}_return_amt_inc_tax:m {0}_fee:m {0}_return_ship_cost:m "
_RETURNS += "{0}_refunded_cash:m {0}_reversed_charge:m {0}_{2}:m {0}_net_loss:m"
_COLUMNS = {
    "date_dim": "d_date_sk d_date_id:s d_date:d d_month_seq d_week_seq d_quarter_seq d_year d_dow d_moy d_dom d_qoy "
    "d_fy_year d_fy_quarter_seq d_fy_week_seq d_day_name:s d_quarter_name:s d_holiday:s d_weekend:s "
    "d_following_holiday:s d_first_dom d_last_dom d_same_day_ly d_same_day_lq d_current_day:s d_current_week:s "
    "d_current_month:s d_current_quarter:s d_current_year:s",
    "time_dim": "t_time_sk t_time_id:s t_time t_hour t_minute t_second t_am_pm:s t_shift:s t_sub_shift:s t_meal_time:s",
    "item": "i_item_sk i_item_id:s i_rec_start_date:d i_rec_end_date:d i_item_desc:s i_current_price:m "
    "i_wholesale_cost:m i_brand_id i_brand:s i_class_id i_class:s i_category_id i_category:s i_manufact_id "
    "i_manufact:s i_size:s i_formulation:s i_color:s i_units:s i_container:s i_manager_id i_product_name:s",
    "income_band": "ib_income_band_sk ib_lower_bound ib_upper_bound",
    "household_demographics": "hd_demo_sk hd_income_band_sk hd_buy_potential:s hd_dep_count hd_vehicle_count",
    "customer_demographics": "cd_demo_sk cd_gender:s cd_marital_status:s cd_education_status:s cd_purchase_estimate "
    "cd_credit_rating:s cd_dep_count cd_dep_employed_count cd_dep_college_count",
    "customer_address": "ca_address_sk ca_address_id:s " + _ADDRESS.format("ca") + " ca_location_type:s",
    "customer": "c_customer_sk c_customer_id:s c_current_cdemo_sk c_current_hdemo_sk c_current_addr_sk "
    "c_first_shipto_date_sk c_first_sales_date_sk c_salutation:s c_first_name:s c_last_name:s "
    "c_preferred_cust_flag:s c_birth_day c_birth_month c_birth_year c_birth_country:s c_login:s c_email_address:s "
    "c_last_review_date_sk",
    "store": "s_store_sk s_store_id:s s_rec_start_date:d s_rec_end_date:d s_closed_date_sk s_store_name:s "
    "s_number_employees s_floor_space s_hours:s s_manager:s s_market_id s_geography_class:s s_market_desc:s "
    "s_market_manager:s s_division_id s_division_name:s s_company_id s_company_name:s "
    + _ADDRESS.format("s")
    + " s_tax_precentage:p",
    "call_center": "cc_call_center_sk cc_call_center_id:s cc_rec_start_date:d cc_rec_end_date:d cc_closed_date_sk "
    "cc_open_date_sk cc_name:s cc_class:s cc_employees cc_sq_ft cc_hours:s cc_manager:s cc_mkt_id cc_mkt_class:s "
    "cc_mkt_desc:s cc_market_manager:s cc_division cc_division_name:s cc_company cc_company_name:s "
    + _ADDRESS.format("cc")
    + " cc_tax_percentage:p",
    "web_site": "web_site_sk web_site_id:s web_rec_start_date:d web_rec_end_date:d web_name:s web_open_date_sk "
    "web_close_date_sk web_class:s web_manager:s web_mkt_id web_mkt_class:s web_mkt_desc:s web_market_manager:s "
    "web_company_id web_company_name:s " + _ADDRESS.format("web") + " web_tax_percentage:p",
    "web_page": "wp_web_page_sk wp_web_page_id:s wp_rec_start_date:d wp_rec_end_date:d wp_creation_date_sk "
    "wp_access_date_sk wp_autogen_flag:s wp_customer_sk wp_url:s wp_type:s wp_char_count wp_link_count "
    "wp_image_count wp_max_ad_count",
    "warehouse": "w_warehouse_sk w_warehouse_id:s w_warehouse_name:s w_warehouse_sq_ft " + _ADDRESS.format("w"),
    "ship_mode": "sm_ship_mode_sk sm_ship_mode_id:s sm_type:s sm_code:s sm_carrier:s sm_contract:s",
    "reason": "r_reason_sk r_reason_id:s r_reason_desc:s",
    "promotion": "p_promo_sk p_promo_id:s p_start_date_sk p_end_date_sk p_item_sk p_cost:l p_response_target "
    "p_promo_name:s p_channel_dmail:s p_channel_email:s p_channel_catalog:s p_channel_tv:s p_channel_radio:s "
    "p_channel_press:s p_channel_event:s p_channel_demo:s p_channel_details:s p_purpose:s p_discount_active:s",
    "catalog_page": "cp_catalog_page_sk cp_catalog_page_id:s cp_start_date_sk cp_end_date_sk cp_department:s "
    "cp_catalog_number cp_catalog_page_number cp_description:s cp_type:s",
    "inventory": "inv_date_sk inv_item_sk inv_warehouse_sk inv_quantity_on_hand",
    "store_sales": "ss_sold_date_sk ss_sold_time_sk ss_item_sk ss_customer_sk ss_cdemo_sk ss_hdemo_sk ss_addr_sk "
    "ss_store_sk ss_promo_sk ss_ticket_number "
    + _SALES.format("ss")
    + "ss_net_paid:m ss_net_paid_inc_tax:m ss_net_profit:m",
    "catalog_sales": "cs_sold_date_sk cs_sold_time_sk cs_ship_date_sk cs_bill_customer_sk cs_bill_cdemo_sk "
    "cs_bill_hdemo_sk cs_bill_addr_sk cs_ship_customer_sk cs_ship_cdemo_sk cs_ship_hdemo_sk cs_ship_addr_sk "
    "cs_call_center_sk cs_catalog_page_sk cs_ship_mode_sk cs_warehouse_sk cs_item_sk cs_promo_sk cs_order_number "
    + _SALES.format("cs")
    + _SHIPPED.format("cs"),
    "web_sales": "ws_sold_date_sk ws_sold_time_sk ws_ship_date_sk ws_item_sk ws_bill_customer_sk ws_bill_cdemo_sk "
    "ws_bill_hdemo_sk ws_bill_addr_sk ws_ship_customer_sk ws_ship_cdemo_sk ws_ship_hdemo_sk ws_ship_addr_sk "
    "ws_web_page_sk ws_web_site_sk ws_ship_mode_sk ws_warehouse_sk ws_promo_sk ws_order_number "
    + _SALES.format("ws")
    + _SHIPPED.format("ws"),
    "store_returns": "sr_returned_date_sk sr_return_time_sk sr_item_sk sr_customer_sk sr_cdemo_sk sr_hdemo_sk "
    "sr_addr_sk sr_store_sk sr_reason_sk sr_ticket_number " + _RETURNS.format("sr", "return_amt", "store_credit"),
    "catalog_returns": "cr_returned_date_sk cr_returned_time_sk cr_item_sk cr_refunded_customer_sk "
    "cr_refunded_cdemo_sk cr_refunded_hdemo_sk cr_refunded_addr_sk cr_returning_customer_sk cr_returning_cdemo_sk "
    "cr_returning_hdemo_sk cr_returning_addr_sk cr_call_center_sk cr_catalog_page_sk cr_ship_mode_sk "
    "cr_warehouse_sk cr_reason_sk cr_order_number " + _RETURNS.format("cr", "return_amount", "store_credit"),
    "web_returns": "wr_returned_date_sk wr_returned_time_sk wr_item_sk wr_refunded_customer_sk wr_refunded_cdemo_sk "
    "wr_refunded_hdemo_sk wr_refunded_addr_sk wr_returning_customer_sk wr_returning_cdemo_sk wr_returning_hdemo_sk "
    "wr_returning_addr_sk wr_web_page_sk wr_reason_sk wr_order_number "
    + _RETURNS.format("wr", "return_amt", "account_credit"),
}
TABLES = {
    table: {name.partition(":")[0]: KINDS[name.partition(":")[2] or "b"] for name in columns.split()}
    for table, columns in _COLUMNS.items()
}

# Rows of each table; those of the days, the minutes and the demographics follow from what they are.
ROWS = {
    "item": 400,
    "customer_address": 300,
    "customer": 600,
    "store": 12,
    "call_center": 6,
    "web_site": 6,
    "web_page": 20,
    "warehouse": 5,
    "ship_mode": 20,
    "reason": 35,
    "promotion": 30,
    "catalog_page": 60,
    "income_band": 20,
    "store_sales": 20_000,
    "catalog_sales": 10_000,
    "web_sales": 6_000,
}
# Of every other order, one line in so many comes back.
RETURNED = 2
# One in so many catalog orders begins with what its customer brought back to a shop.
AGAIN = 3
# One in so many tickets is bought on the day of a month's offers, and one in so many is a long one.
OFFER, LONG = 8, 12
# How much the first rows of a table are chosen before the last ones; 4 is not at all.
SKEW = {"item": 10, "customer": 5}
# How many of the people and of the households are of the common kinds.
COMMON = 0.85
LAST_SOLD = datetime.date(2002, 12, 31)

CATEGORIES = ["Women", "Men", "Children", "Shoes", "Music", "Jewelry", "Home", "Sports", "Books", "Electronics"]
CLASSES = {
    "Women": ["dresses", "fragrances", "maternity", "swimwear"],
    "Men": ["accessories", "pants", "shirts", "sports-apparel"],
    "Children": ["infants", "newborn", "school-uniforms", "toddlers"],
    "Shoes": ["athletic", "kids", "mens", "womens"],
    "Music": ["classical", "country", "pop", "rock"],
    "Jewelry": ["birdal", "diamonds", "estate", "semi-precious"],
    "Home": ["bathroom", "bedding", "decor", "wallpaper"],
    "Sports": ["archery", "baseball", "football", "sailing"],
    "Books": ["business", "computers", "reference", "self-help"],
    "Electronics": ["automotive", "personal", "portable", "stereo"],
}
BRANDS = ["scholaramalgamalg #14", "scholaramalgamalg #7", "scholaramalgamalg #9", "exportiunivamalg #9"]
BRANDS += ["amalgimporto #1", "edu packscholar #1", "exportiimporto #1", "importoamalg #1", "corpbrand #8"]
COUNTIES = ["Williamson County", "Ziebach County", "Walker County", "Daviess County", "Rush County", "Toole County"]
COUNTIES += ["Jefferson County", "Dona Ana County", "La Porte County", "Richland County", "Bronx County"]
COUNTIES += ["Orange County", "Franklin Parish", "Luce County", "Barrow County", "Fairfield County"]
STATES = "TN GA SD AL IN OH TX MN NE KY VA CA WA NY IL MO MS LA MI KS NC ND OK CO UT FL WV OR WI IA AR NM NJ CT".split()
# Where many of the customers live, most of all in Georgia; and some of the shops are.
BUSY_STATES = "OH IN KY LA GA IL TX VA GA".split()
CITIES = ["Fairview", "Midway", "Edgewood", "Oak Grove", "Pleasant Hill", "Five Points", "Centerville", "Riverside"]
ZIPS = "85669 86197 88274 83405 86475 85392 85460 80348 81792 24128 76232 65084 87816 83926 77556 35709 30059".split()
DAY_NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MARITAL = list("MSDWU")
EDUCATION = ["Primary", "Secondary", "College", "2 yr Degree", "4 yr Degree", "Advanced Degree", "Unknown"]
COLORS = "powder khaki brown honeydew floral deep light cornflower midnight snow cyan papaya orange frosted forest ghost "
COLORS += "slate blanched burnished purple chiffon peach saddle pale azure metallic dim navajo spring smoke rosy lace misty "
COLORS += "burlywood indian medium"
SHOP_ZIPS = ["85669", "24128", "35709"]
STORES = ["ese", "ought", "able", "bar", "anti", "ation"]
COMMON_COLORS = ["peach", "purple", "burlywood", "indian", "spring", "floral", "medium"]
# What a column holds, by its name without the table's letters, else any word.
WORDS = {
    "color": COLORS.split(),
    "size": ["medium", "extra large", "N/A", "small", "petite", "large", "economy"],
    "units": "Ounce Oz Bunch Ton N/A Dozen Box Pound Pallet Gross Cup Dram Each Tbl Lb Bundle Carton Case Tsp".split(),
    "container": ["Unknown"],
    "buy_potential": [">10000", "5001-10000", "1001-5000", "501-1000", "0-500", "Unknown"],
    "city": CITIES,
    "county": COUNTIES,
    "state": STATES,
    "zip": ZIPS,
    "country": ["United States"],
    "street_type": ["Street", "Ave", "Blvd", "Lane", "Way", "RD", "Drive"],
    "location_type": ["condo", "apartment", "single family"],
    "salutation": ["Mr.", "Mrs.", "Ms.", "Dr.", "Sir", "Miss"],
    "first_name": ["James", "Mary", "John", "Linda", "Robert", "Susan"],
    "last_name": ["Smith", "Jones", "Brown", "Davis", "Miller", "Wilson", "Moore"],
    "birth_country": ["UNITED STATES", "GERMANY", "JAPAN", "BRAZIL", "KENYA", "NORWAY"],
    "store_name": STORES,
    "company_name": ["pri", "able", "ought", "Unknown"],
    "hours": ["8AM-4PM", "8AM-8AM", "8AM-12AM"],
    "name": ["NY Metro", "Mid Atlantic", "North Midwest", "site_0", "site_1", "site_2"],
    "type": ["EXPRESS", "OVERNIGHT", "REGULAR", "TWO DAY", "LIBRARY", "NEXT DAY", "dynamic", "monthly", "bi-annual"],
    "carrier": ["DHL", "BARIAN", "UPS", "FEDEX", "AIRBORNE", "USPS", "ZOUROS", "MSC", "LATVIAN", "TBS"],
    "code": ["AIR", "SURFACE", "SEA"],
    "warehouse_name": ["Conventional childr", "Important issues liv", "Doors canno", "Bad cards must make.", "Operations"],
    "market_manager": ["Charles Bartley", "Dustin Kelly", "Julius Durham", "Larry Mccray"],
    "manager": ["Bob Belcher", "Felipe Perkins", "Mark Hightower", "Larry Mccray"],
    "department": ["DEPARTMENT"],
    "division_name": ["Unknown", "ese", "pri"],
}
FLAGS = ("flag", "active", "dmail", "email", "catalog", "tv", "radio", "press", "event", "demo")
# What an item of a colour is measured in goes by the colour's place in its list, and so does its size.
SIZES = [("medium", "extra large"), ("N/A", "small"), ("petite",), ("medium", "extra large")]
MANUFACTURERS = [128, 677, 940, 694, 808, 129, 270, 821, 423, 977, 436, 198, 350, 738, 741, 755, 770]
# What many people are, and many households have.
COMMON_PEOPLE = {("M", "Advanced Degree"), ("S", "College"), ("W", "2 yr Degree"), ("M", "Unknown")}
COMMON_PEOPLE |= {("W", "Advanced Degree"), ("D", "2 yr Degree")}
COMMON_HOUSEHOLDS = {
    (potential, dependents, vehicles)
    for potential in (">10000", "Unknown")
    for dependents in (1, 3, 4, 6, 7)
    for vehicles in (1, 2)
}
CHANNELS = [
    ("store_sales", "ss", "ss_ticket_number"),
    ("catalog_sales", "cs", "cs_order_number"),
    ("web_sales", "ws", "ws_order_number"),
]
# Which table a key means, by the end of its name.
KEYS = {
    "date_sk": "date_dim",
    "time_sk": "time_dim",
    "item_sk": "item",
    "customer_sk": "customer",
    "cdemo_sk": "customer_demographics",
    "hdemo_sk": "household_demographics",
    "addr_sk": "customer_address",
    "store_sk": "store",
    "promo_sk": "promotion",
    "call_center_sk": "call_center",
    "catalog_page_sk": "catalog_page",
    "ship_mode_sk": "ship_mode",
    "warehouse_sk": "warehouse",
    "web_page_sk": "web_page",
    "web_site_sk": "web_site",
    "reason_sk": "reason",
    "income_band_sk": "income_band",
}


def cents(value):
    return Decimal(value).quantize(Decimal("0.01"))


def days():
    """The rows of date_dim."""
    rows, day = [], FIRST
    while day <= LAST:
        sk, quarter = key_of(day), (day.month - 1) // 3 + 1
        months = (day.year - 1900) * 12 + day.month - 1
        first = day.replace(day=1)
        last = (first + datetime.timedelta(days=32)).replace(day=1) - datetime.timedelta(days=1)
        weekday = day.isoweekday() % 7
        rows.append(
            {
                "d_date_sk": sk,
                "d_date_id": identity(sk),
                "d_date": day,
                "d_month_seq": months,
                "d_week_seq": (sk - KEY_OF_FIRST + 4) // 7 + 5114,
                "d_quarter_seq": (day.year - 1900) * 4 + quarter - 1,
                "d_year": day.year,
                "d_dow": weekday,
                "d_moy": day.month,
                "d_dom": day.day,
                "d_qoy": quarter,
                "d_fy_year": day.year,
                "d_fy_quarter_seq": (day.year - 1900) * 4 + quarter - 1,
                "d_fy_week_seq": (sk - KEY_OF_FIRST + 4) // 7 + 5114,
                "d_day_name": DAY_NAMES[day.weekday()],
                "d_quarter_name": f"{day.year}Q{quarter}",
                "d_holiday": "Y" if (day.month, day.day) in ((1, 1), (7, 4), (12, 25)) else "N",
                "d_weekend": "Y" if weekday in (0, 6) else "N",
                "d_following_holiday": "N",
                "d_first_dom": key_of(first),
                "d_last_dom": key_of(last),
                "d_same_day_ly": sk - 365,
                "d_same_day_lq": sk - 91,
                **{f"d_current_{unit}": "N" for unit in ("day", "week", "month", "quarter", "year")},
            }
        )
        day += datetime.timedelta(days=1)
    return rows


def key_of(day):
    return KEY_OF_FIRST + (day - FIRST).days


def offers_of(key):
    """The day of a month's offers, and the items on offer."""
    day = (FIRST + datetime.timedelta(days=key - KEY_OF_FIRST)).replace(day=20)
    first = (day.year * 12 + day.month) * 7
    return key_of(day), [(first + 67 * n) % ROWS["item"] + 1 for n in range(6)]


def identity(number):
    return f"AAAAAAAA{number:08d}"


def minutes():
    """The rows of time_dim: one for each minute."""
    rows = []
    for minute in range(24 * 60):
        hour = minute // 60
        meals = {range(6, 9): "breakfast", range(11, 14): "lunch", range(17, 21): "dinner"}
        rows.append(
            {
                "t_time_sk": minute * 60,
                "t_time_id": identity(minute * 60),
                "t_time": minute * 60,
                "t_hour": hour,
                "t_minute": minute % 60,
                "t_second": 0,
                "t_am_pm": "AM" if hour < 12 else "PM",
                "t_shift": ["third", "first", "second"][hour // 8],
                "t_sub_shift": ["night", "morning", "afternoon", "evening"][hour // 6],
                "t_meal_time": next((meal for hours, meal in meals.items() if hour in hours), None),
            }
        )
    return rows


def households():
    """Every combination of a household's demographics."""
    made = []
    for band in range(1, ROWS["income_band"] + 1):
        for potential in WORDS["buy_potential"]:
            for dependents in range(10):
                for vehicles in range(-1, 5):
                    made.append((band, potential, dependents, vehicles))
    return [dict(zip(TABLES["household_demographics"], (n, *row))) for n, row in enumerate(made, 1)]


def people():
    """Every combination of sex, state and education, with the rest going around."""
    made = [(sex, state, education, n) for n in range(6) for sex in "MF" for state in MARITAL for education in EDUCATION]
    ratings = ["Low Risk", "Good", "High Risk", "Unknown"]
    return [
        dict(
            zip(
                TABLES["customer_demographics"],
                (at, sex, state, education, 500 * (1 + at % 20), ratings[at % 4], n, (n + at) % 7, (n * at) % 7),
            )
        )
        for at, (sex, state, education, n) in enumerate(made, 1)
    ]


def sale_days():
    """The keys of the days on which something is sold, more often those at the end of a year and after payday."""
    keys, day = [], FIRST
    while day <= LAST_SOLD:
        weight = (4 if day.month >= 11 else 1) + (day.day <= 3 or 25 <= day.day <= 28)
        keys += [key_of(day)] * weight
        day += datetime.timedelta(days=1)
    return keys


class Maker:
    """Makes the rows of all tables, `rows[table]` as dictionaries."""

    def __init__(self):
        self.chance = random.Random(SEED)
        self.sale_days = sale_days()
        self.rows = {
            "date_dim": days(),
            "time_dim": minutes(),
            "household_demographics": households(),
            "customer_demographics": people(),
        }
        self.common = {
            table: [row for row in self.rows[table] if tuple(row[column] for column in columns) in common]
            for table, columns, common in (
                ("customer_demographics", ("cd_marital_status", "cd_education_status"), COMMON_PEOPLE),
                ("household_demographics", ("hd_buy_potential", "hd_dep_count", "hd_vehicle_count"), COMMON_HOUSEHOLDS),
            )
        }
        bands = range(ROWS["income_band"])
        self.rows["income_band"] = [
            dict(zip(TABLES["income_band"], (n + 1, 0 if n == 0 else n * 10_000 + 1, (n + 1) * 10_000))) for n in bands
        ]
        for table in ("store", "customer_address", "item", "customer", "call_center", "web_site", "web_page"):
            self.fill(table)
        for table in ("warehouse", "ship_mode", "reason", "promotion", "catalog_page"):
            self.fill(table)
        for table, prefix, order in CHANNELS:
            self.sell(table, prefix, order)
            if prefix == "ss":
                self.give_back("store_returns", "store_sales", "sr", "ss")
        self.sell_alike()
        self.give_back("catalog_returns", "catalog_sales", "cr", "cs")
        self.give_back("web_returns", "web_sales", "wr", "ws")
        self.stock()

    def keys(self, table):
        first = next(iter(TABLES[table]))
        return [row[first] for row in self.rows[table]]

    def key(self, column):
        """A key of the table that a column means, sometimes NULL."""
        table = next((table for end, table in KEYS.items() if column.endswith(end)), None)
        if table not in self.rows or self.chance.random() < 0.03:
            return None
        rows = self.rows[table]
        if table in self.common and self.chance.random() < COMMON:
            rows = self.common[table]
        if column.endswith("_sold_date_sk"):
            return self.chance.choice(self.sale_days)
        if column == "ss_sold_time_sk":
            # Shops are open from 8 to 21 o'clock.
            return self.chance.randrange(8 * 60, 21 * 60) * 60
        return rows[self.place(table, len(rows))][next(iter(TABLES[table]))]

    def place(self, table, count):
        """A place among so many rows of a table, the first ones more often if the table is skewed."""
        # Roots and products are the same on every machine, powers need not be.
        root = math.sqrt(math.sqrt(self.chance.random()))
        return min(int(count * math.prod([root] * SKEW.get(table, 4))), count - 1)

    def fill(self, table):
        columns = list(TABLES[table])
        self.rows[table] = [
            {column: self.cell(table, column, n, columns[0]) for column in columns} for n in range(1, ROWS[table] + 1)
        ]
        if table == "item":
            for n, row in enumerate(self.rows[table], 1):
                self.describe(row, n)
        if table == "reason":
            for n, row in enumerate(self.rows[table], 1):
                row["r_reason_desc"] = f"reason {n}"
        if table in ("store", "call_center"):
            prefix = "s" if table == "store" else "cc"
            # The queries ask for few of them, and there are few.
            for n, row in enumerate(self.rows[table]):
                row[f"{prefix}_state"] = "TN" if n % 3 else BUSY_STATES[n // 3]
                row[f"{prefix}_county"] = COUNTIES[n % 5 if n % 2 else 0]
                row[f"{prefix}_gmt_offset"] = Decimal("-5.00")
        if table == "store":
            for n, row in enumerate(self.rows[table]):
                row |= {"s_zip": SHOP_ZIPS[n % 3], "s_city": CITIES[n % 3]}
                row |= {"s_market_id": 8 if n % 2 else n, "s_store_name": STORES[n % 6]}
        if table == "customer_address":
            for row in self.rows[table]:
                self.settle(row)
        if table == "ship_mode":
            for n, row in enumerate(self.rows[table]):
                row["sm_carrier"] = WORDS["carrier"][n % len(WORDS["carrier"])]
        if table == "web_site":
            for row in self.rows[table][::2]:
                row["web_company_name"] = "pri"

    def settle(self, address):
        """A third lives beside a shop, half in the states where many live."""
        where = self.chance.randrange(6)
        if where < 2:
            shop = self.chance.choice(self.rows["store"])
            address |= {f"ca_{name}": shop[f"s_{name}"] for name in ("county", "state", "zip", "gmt_offset")}
        elif where < 5:
            address["ca_state"] = self.chance.choice(BUSY_STATES)

    def describe(self, item, n):
        category = CATEGORIES[n % len(CATEGORIES)]
        number = (n // len(CATEGORIES) + 1) % 4
        item["i_category_id"], item["i_category"] = n % len(CATEGORIES) + 1, category
        item["i_class_id"], item["i_class"] = number + 1, CLASSES[category][number]
        brand = n % len(BRANDS)
        item["i_brand_id"], item["i_brand"] = 1_001_001 + brand, BRANDS[brand]
        item["i_manufact_id"] = MANUFACTURERS[n % len(MANUFACTURERS)]
        item["i_manufact"] = f"able{item['i_manufact_id']}"
        item["i_manager_id"] = n % 37 + 1
        colors, units = WORDS["color"], WORDS["units"]
        color = self.chance.choice(COMMON_COLORS if self.chance.random() < 0.35 else colors)
        at = colors.index(color)
        item["i_color"], item["i_units"] = color, units[at % len(units)]
        item["i_size"] = self.chance.choice(SIZES[at // 2 % 4])
        if item["i_current_price"] is not None:
            low, high = self.chance.choice([(99, 149), (62_00, 78_00), (9, 99_00), (9, 99_00)])
            item["i_current_price"] = cents(Decimal(self.chance.randint(low, high)) / 100)
        item["i_item_id"] = identity((n + 1) // 2)
        item["i_product_name"] = f"product{n}"

    def cell(self, table, column, n, first):
        """A value of a table that is no sale."""
        name, kind = column.split("_", 1)[1], TABLES[table][column]
        if column == first:
            return n
        if column.endswith("_sk"):
            return self.key(column)
        if name.endswith("_id") and kind == "string":
            return identity(n)
        if kind == "date":
            return None if "end" in name else FIRST - datetime.timedelta(days=n % 3)
        if self.chance.random() < 0.02:
            return None
        if name.endswith("gmt_offset"):
            return Decimal(self.chance.choice([-5, -6, -7, -7])).quantize(Decimal("0.01"))
        if kind.startswith("decimal"):
            return cents(Decimal(self.chance.randrange(9, 9_900)) / 100)
        if kind == "string":
            if name.rsplit("_", 1)[-1] in FLAGS:
                return self.chance.choice("NNY")
            return self.chance.choice(WORDS[name]) if name in WORDS else f"{name} {self.chance.randrange(8)}"
        low, high = {
            "birth_year": (1924, 1992),
            "birth_month": (1, 12),
            "birth_day": (1, 28),
            "number_employees": (200, 300),
            "char_count": (4_800, 5_600),
            "catalog_page_number": (1, 100),
            "market_id": (1, 10),
            "floor_space": (5_000_000, 9_000_000),
            "warehouse_sq_ft": (50_000, 900_000),
        }.get(name, (1, 10))
        return self.chance.randint(low, high)

    def sell(self, table, prefix, order):
        """Orders of a few lines: one customer, one day, several items."""
        rows, number = [], 0
        again = self.brought_back() if prefix == "cs" else []
        while len(rows) < ROWS[table]:
            number += 1
            shared = {column: self.key(column) for column in TABLES[table] if column.endswith("_sk")}
            items = self.goods(self.chance.randint(1, 6))
            sold = shared[f"{prefix}_sold_date_sk"]
            kind = self.chance.randrange(OFFER * LONG)
            if again and number % AGAIN == 0:
                customer, item, sold = again.pop()
                shared |= {"cs_bill_customer_sk": customer, "cs_sold_date_sk": sold}
                items = [item, *(other for other in items if other != item)]
            elif prefix == "ss" and sold is not None and kind % OFFER == 0:
                shared["ss_sold_date_sk"], offers = offers_of(sold)
                items = self.chance.sample(offers, self.chance.randint(1, len(offers)))
            elif prefix == "ss" and kind % LONG == 1:
                items = self.goods(self.chance.randint(8, 20))
            self.own(shared, prefix)
            rows += [self.line(table, prefix, shared | {order: number}, item, self.prices()) for item in items]
        self.rows[table] = rows[: ROWS[table]]

    def line(self, table, prefix, shared, item, prices):
        row = {**shared, f"{prefix}_item_sk": item, **{f"{prefix}_{name}": value for name, value in prices.items()}}
        sold = shared[f"{prefix}_sold_date_sk"]
        if f"{prefix}_ship_date_sk" in shared and sold is not None:
            # Each line of an order leaves when it is ready, and from a warehouse of its own.
            row[f"{prefix}_ship_date_sk"] = sold + self.chance.randint(2, 130)
        if f"{prefix}_warehouse_sk" in shared:
            row[f"{prefix}_warehouse_sk"] = self.key("warehouse_sk")
        return {column: row[column] for column in TABLES[table]}

    def goods(self, count):
        """So many different items."""
        found = {}
        while len(found) < count:
            found[self.place("item", ROWS["item"]) + 1] = None
        return list(found)

    def own(self, shared, prefix):
        """Half of the orders are made from home, by whom the customer table knows."""
        role = prefix if prefix == "ss" else f"{prefix}_bill"
        customer = shared[f"{role}_customer_sk"]
        if customer is not None and self.chance.random() < 0.5:
            known = self.rows["customer"][customer - 1]
            for name in ("cdemo_sk", "hdemo_sk", "addr_sk"):
                shared[f"{role}_{name}"] = known[f"c_current_{name}"]

    def brought_back(self):
        """Customer, item and a day soon after, of what came back to the shops."""
        last, found = key_of(LAST_SOLD), []
        for row in self.rows["store_returns"]:
            customer, day = row["sr_customer_sk"], row["sr_returned_date_sk"]
            if customer is not None and day is not None and day + 30 <= last:
                found.append((customer, row["sr_item_sk"], day + self.chance.randint(0, 30)))
        self.chance.shuffle(found)
        return found

    def sell_alike(self):
        """On the first Monday of each year, some items bring the same money in the shops, by catalog and on the web."""
        for year in range(FIRST.year, LAST_SOLD.year + 1):
            first = datetime.date(year, 1, 1)
            monday = key_of(first + datetime.timedelta(days=-first.weekday() % 7))
            # Items that are seldom sold otherwise.
            for item in range(ROWS["item"] // 2 + year % 10, ROWS["item"], 16):
                prices = self.prices()
                for table, prefix, order in CHANNELS:
                    shared = {column: self.key(column) for column in TABLES[table] if column.endswith("_sk")}
                    shared |= {f"{prefix}_sold_date_sk": monday, order: self.rows[table][-1][order] + 1}
                    self.rows[table].append(self.line(table, prefix, shared, item, prices))

    def prices(self):
        quantity = self.chance.randint(1, self.chance.choice([4, 6, 100]))
        cost = cents(Decimal(self.chance.randint(100, 9_000)) / 100)
        listed = cents(cost * Decimal(self.chance.randint(100, 300)) / 100)
        price = cents(listed * Decimal(self.chance.randint(30, 100)) / 100)
        paid = cents(price * quantity)
        coupon = cents(paid * Decimal(self.chance.choice([0, 0, self.chance.randint(5, 40)])) / 100)
        tax = cents((paid - coupon) * Decimal(self.chance.randint(0, 9)) / 100)
        ship = cents(listed * quantity * Decimal(self.chance.randint(0, 40)) / 100)
        net = paid - coupon
        return {
            "quantity": quantity,
            "wholesale_cost": cost,
            "list_price": listed,
            "sales_price": price,
            "ext_discount_amt": cents((listed - price) * quantity),
            "ext_sales_price": paid,
            "ext_wholesale_cost": cents(cost * quantity),
            "ext_list_price": cents(listed * quantity),
            "ext_tax": tax,
            "coupon_amt": coupon,
            "ext_ship_cost": ship,
            "net_paid": net,
            "net_paid_inc_tax": net + tax,
            "net_paid_inc_ship": net + ship,
            "net_paid_inc_ship_tax": net + ship + tax,
            "net_profit": net - cents(cost * quantity),
        }

    def give_back(self, table, sales, prefix, of):
        """Returns of lines that were sold: the same item, order and customer, some days later."""
        order = "ticket_number" if of == "ss" else "order_number"
        rows = []
        for sale in [sale for sale in self.rows[sales] if sale[f"{of}_{order}"] % 2][::RETURNED]:
            row = {column: self.key(column) for column in TABLES[table] if column.endswith("_sk")}
            back = self.chance.randint(1, sale[f"{of}_quantity"])
            if self.chance.random() < 0.3:
                back = sale[f"{of}_quantity"]
            amount = cents(sale[f"{of}_sales_price"] * back)
            cash = cents(amount * Decimal(self.chance.choice([0, 50, 100])) / 100)
            fee = cents(Decimal(self.chance.randint(50, 9_900)) / 100)
            sold = sale[f"{of}_sold_date_sk"]
            row |= {f"{prefix}_item_sk": sale[f"{of}_item_sk"], f"{prefix}_{order}": sale[f"{of}_{order}"]}
            kept = self.chance.randint(1, self.chance.choice([8, 60]))
            row[f"{prefix}_returned_date_sk"] = None if sold is None else sold + kept
            self.same_customer(row, sale, prefix, of)
            made = {
                "return_quantity": back,
                "return_amt": amount,
                "return_amount": amount,
                "return_tax": cents(amount / 20),
                "return_amt_inc_tax": amount + cents(amount / 20),
                "fee": fee,
                "return_ship_cost": cents(amount / 10),
                "refunded_cash": cash,
                "reversed_charge": cents((amount - cash) / 2),
                "store_credit": amount - cash - cents((amount - cash) / 2),
                "account_credit": amount - cash - cents((amount - cash) / 2),
                "net_loss": fee + cents(amount / 10),
            }
            row |= {f"{prefix}_{name}": value for name, value in made.items()}
            rows.append({column: row[column] for column in TABLES[table]})
        self.rows[table] = rows

    def same_customer(self, row, sale, prefix, of):
        """Whoever bought it gives it back, in the same shop."""
        for name in ("customer_sk", "cdemo_sk", "hdemo_sk", "addr_sk"):
            bought = sale[f"{of}_{name}" if of == "ss" else f"{of}_bill_{name}"]
            for role in ("", "refunded_", "returning_"):
                if f"{prefix}_{role}{name}" in row:
                    row[f"{prefix}_{role}{name}"] = bought
        for name in ("store_sk", "call_center_sk", "catalog_page_sk", "web_page_sk"):
            if f"{prefix}_{name}" in row and f"{of}_{name}" in sale:
                row[f"{prefix}_{name}"] = sale[f"{of}_{name}"]

    def stock(self):
        """What lies in each warehouse every week, of some items; a few of them are out of stock most of the time."""
        rows = []
        for item in range(1, ROWS["item"] + 1, 11):
            for warehouse in self.keys("warehouse"):
                scarce = self.chance.random() < 0.25
                for day in range(KEY_OF_FIRST, key_of(LAST_SOLD), 7):
                    most = 97 if scarce and self.chance.random() < 0.7 else 1_000
                    quantity = None if self.chance.random() < 0.02 else self.chance.randrange(most)
                    rows.append((day, item, warehouse, quantity))
        self.rows["inventory"] = [dict(zip(TABLES["inventory"], row)) for row in rows]


def make():
    """The rows of every table, each a list of values in the order of its columns."""
    made = Maker().rows
    return {table: [[row[column] for column in columns] for row in made[table]] for table, columns in TABLES.items()}
